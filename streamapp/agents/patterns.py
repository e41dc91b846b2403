"""Regular expressions that take linear time, whatever text somebody sends."""

from collections.abc import Callable
from typing import Any

import jsonschema_rs


def matcher(pattern: str) -> Callable[[Any], bool]:
    """What tells whether a text has a match of a pattern anywhere; `^` and `$` bind it to its ends.

    Raises:
        ValueError: it is no such pattern. Looking around and back references are none, since no
            matcher in linear time has them.
    """
    schema = {"type": "string", "pattern": pattern}
    try:
        validator = jsonschema_rs.validator_for(
            schema, pattern_options=jsonschema_rs.RegexOptions()
        )
    except jsonschema_rs.ValidationError as error:
        raise ValueError(
            f"{pattern!r} is no regular expression that takes linear time; write one without"
            " looking around and back references"
        ) from error
    return validator.is_valid
