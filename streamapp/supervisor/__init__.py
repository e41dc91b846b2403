"""Supervisor: several worker processes of one command, restarted, drained and seen as one."""
