"""Long stalls of a video player: the smallest useful pipeline."""

from pydantic import BaseModel

from streamapp import Pipeline, Topic, agent, dead_letter


class Event(BaseModel):
    session_id: str
    stall_ms: int = 0


class Stall(BaseModel):
    session_id: str
    seconds: float


@agent
def long_stalls(event: Event) -> Stall | None:
    """Keep stalls of more than two seconds."""
    if event.stall_ms <= 2000:
        return None
    return Stall(session_id=event.session_id, seconds=event.stall_ms / 1000)


pipeline = (
    Pipeline("stalls", source=Topic("playback.raw", Event))
    .stage(long_stalls, on_error=dead_letter())
    .sink("playback.stalls")
)
