"""Records of runs in the state folder: written while a run goes on, read by `streamapp status`."""
