"""Runtime: a stage at work, from fetched records to committed offsets."""
