"""The outline of a pipeline as JSON."""

import orjson

from streamapp.pipeline.outline import Outline

SCHEMA_VERSION = 1
"""Raised when a field is renamed or removed, or changes its meaning; new fields do not count."""


def as_json(outline: Outline) -> str:
    """An object with `schema_version` and the fields of the outline, indented."""
    # orjson writes dataclasses and enums by itself.
    fields = {name: getattr(outline, name) for name in outline.__slots__}
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps({"schema_version": SCHEMA_VERSION, **fields}, option=option).decode()
