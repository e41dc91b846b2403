"""Policies: what becomes of a failure. Pure decisions, no I/O, time from the injected clock."""
