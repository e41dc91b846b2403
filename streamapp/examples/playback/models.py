"""What travels between the stages of the playback pipeline.

A player numbers the events of a session from zero and gives each an id, so that loss,
duplicates and order can be checked from outside.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Milliseconds = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]


class PlaybackKind(StrEnum):
    """What happened in the player."""

    START = "start"
    STALL = "stall"
    RESUME = "resume"
    BITRATE_CHANGE = "bitrate_change"
    ERROR = "error"
    STOP = "stop"


class RawPlayback(BaseModel):
    """An event as a player sends it: the fields are there, their meaning is not yet checked.

    Attributes:
        event_id: one id for each event; an event that is sent twice keeps it.
        session_id: the viewing it belongs to; the record's key.
        sequence: number of the event in its session, from zero.
        event_time_ms: when it happened, by the player's clock, since the epoch.
        title_id: what is watched.
        cdn: code of the delivery site.
        device: kind of player.
        kind: what happened.
        bitrate_kbps: bitrate that is played, after the event.
        stall_ms: how long playback stood still, on `stall` (so far) and `resume` (in all).
        error_code: the player's code of an `error`.
    """

    model_config = ConfigDict(frozen=True)

    event_id: str
    session_id: str
    sequence: int
    event_time_ms: int
    title_id: str
    cdn: str
    device: str
    kind: str
    bitrate_kbps: int
    stall_ms: int = 0
    error_code: str | None = None


class Playback(BaseModel):
    """An event whose fields hold what they should; they are those of `RawPlayback`."""

    model_config = ConfigDict(frozen=True)

    event_id: Text
    session_id: Text
    sequence: int = Field(ge=0)
    event_time_ms: Milliseconds
    title_id: Text
    cdn: Text
    device: Text
    kind: PlaybackKind
    bitrate_kbps: int = Field(ge=0)
    stall_ms: Milliseconds
    error_code: str | None


class EnrichedPlayback(Playback):
    """A playback event that knows its title and where it was watched.

    Attributes:
        title: name of the title.
        genre: its genre.
        region: region that the delivery site serves.
    """

    title: str
    genre: str
    region: str


class Cause(StrEnum):
    """What lowered the quality most."""

    NONE = "none"
    BITRATE = "bitrate"
    STALL = "stall"
    ERROR = "error"


class ScoredPlayback(EnrichedPlayback):
    """A playback event with the quality that its viewer saw; an alert is one of poor quality.

    Attributes:
        quality: from 0, unwatchable, to 100, flawless.
        cause: what took the most points off.
    """

    quality: int = Field(ge=0, le=100)
    cause: Cause
