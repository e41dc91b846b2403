"""Policies: what happens to a record that failed. Pure decisions without I/O."""
