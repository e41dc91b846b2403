"""Middleware that ships: logging, timing, validation, redaction."""

from streamapp.middleware.logs import LogStages
from streamapp.middleware.redaction import Redact
from streamapp.middleware.timing import TimeStages
from streamapp.middleware.validation import Validate

__all__ = ["LogStages", "Redact", "TimeStages", "Validate"]
