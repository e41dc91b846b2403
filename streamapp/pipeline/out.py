"""An output with a key, headers or a topic of its own."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from streamapp.record import Headers

ValueT_co = TypeVar("ValueT_co", covariant=True)


class Keep(Enum):
    """Marks what an output keeps from its input record."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(slots=True)  # not frozen: that would make every output of an agent cost twice
class Out(Generic[ValueT_co]):
    """A value with another key, other headers, or a declared route; or a tombstone.

    An agent that declares `Out[X | None]` writes a tombstone with `Out(None)`: a record without a
    value, which deletes its key in a compacted topic.

    Attributes:
        value: value of the output; `None` is a tombstone.
        key: key of the output, text as UTF-8; by default the key of the input record.
        headers: headers of the output; by default those of the input record.
        to: name of a route that the stage declares; by default the stage's output topic.
    """

    value: ValueT_co
    key: bytes | str | Keep | None = KEEP
    headers: Headers | Keep = KEEP
    to: str | None = None
