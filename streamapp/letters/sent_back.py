"""How often a dead letter was sent back to its stage, and in which replay, as headers say it."""

from collections.abc import Mapping
from dataclasses import dataclass

from streamapp.record import ERROR_HEADERS, Headers

REPLAYS_HEADER = f"{ERROR_HEADERS}replays"
REPLAY_HEADER = f"{ERROR_HEADERS}replay"
_MOST_REPLAYS = 1_000_000
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class SentBack:
    """How often a record was sent back to its stage.

    Attributes:
        times: how often; 0 for all that was never sent back.
        replay: id of the last replay.
    """

    times: int = 0
    replay: str = ""

    def headers(self) -> Headers:
        """Headers that say so; none for a record that was never sent back."""
        if not self.times:
            return []
        return [(REPLAYS_HEADER, b"%d" % self.times), (REPLAY_HEADER, self.replay.encode())]


NEVER_SENT_BACK = SentBack()


def sent_back_in(headers: Mapping[str, bytes]) -> SentBack:
    """What these headers say; what cannot be read, or is too large, was not written by us."""
    try:
        times = int(headers[REPLAYS_HEADER])
        replay = headers[REPLAY_HEADER].decode()
    except (AttributeError, KeyError, TypeError, ValueError):
        return NEVER_SENT_BACK
    if not 0 < times <= _MOST_REPLAYS or len(replay) > _LONGEST_NAME:
        return NEVER_SENT_BACK
    return SentBack(times, replay)
