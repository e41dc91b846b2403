"""Supervisor: starts, restarts and drains worker processes, and shows them as one."""
