"""How far an execution has come."""

from enum import StrEnum


class PipelineStatus(StrEnum):
    """State of an execution, of one of its stages, or of what a context belongs to."""

    PENDING = "pending"  # not begun
    RUNNING = "running"
    SUCCESS = "success"  # ended, and nothing failed for good
    FAILED = "failed"  # a stage stopped, or what it was given became a dead letter
    CANCELLED = "cancelled"  # cancelled from outside before the end
