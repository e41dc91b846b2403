"""Ready-made pieces of playback events, so that the generator only puts bytes together.

A session is a walk through states. A state is a list of equally likely steps and, last, the step
that stops the session; a step is the end of an event's JSON and the state that follows.
"""

from random import Random
from typing import TypeAlias

from streamapp.examples.playback.models import PlaybackKind

Step: TypeAlias = tuple[bytes, list["Step"]]
State: TypeAlias = list[Step]

STEPS_IN_A_STATE = 128
"""Steps to draw from, the same number for all states; the one that stops stands behind them."""

BITRATES_KBPS = (400, 900, 1_800, 3_200, 4_500, 6_000)
"""The ladder that players move on."""

_ERROR_CODES = ("network_timeout", "manifest_404", "segment_404", "decoder_reset", "drm_expired")
_TYPICAL_STALL_MS = {"healthy": 400, "troubled": 3_500}

# How often each kind follows while a session plays, in percent; what is left changes bitrate.
_STALL_PERCENT = {"healthy": 12, "troubled": 40}
_ERROR_PERCENT = {"healthy": 1, "troubled": 8}


def event_end(
    kind: PlaybackKind,
    bitrate_kbps: int,
    *,
    stall_ms: int | None = None,
    error_code: str | None = None,
) -> bytes:
    """Render the JSON of an event from after its time to its end; only what is given is in it."""
    parts = [f'"kind":"{kind}"', f'"bitrate_kbps":{bitrate_kbps}']
    if stall_ms is not None:
        parts.append(f'"stall_ms":{stall_ms}')
    if error_code is not None:
        parts.append(f'"error_code":"{error_code}"')
    return f",{','.join(parts)}}}".encode()


def session_states(random: Random, health: str) -> list[State]:
    """Build the playing states of `healthy` or `troubled` sessions, one for each bitrate."""
    playing: list[State] = [[] for _ in BITRATES_KBPS]
    stalled: list[State] = [[] for _ in BITRATES_KBPS]
    for level, bitrate in enumerate(BITRATES_KBPS):
        for _ in range(STEPS_IN_A_STATE):
            stall_ms = int(random.expovariate(1 / _TYPICAL_STALL_MS[health])) + 40
            resume = event_end(PlaybackKind.RESUME, bitrate, stall_ms=stall_ms)
            stalled[level].append((resume, playing[level]))
            playing[level].append(_next(random, health, level, playing, stalled))
        stop: Step = (event_end(PlaybackKind.STOP, bitrate), [])
        playing[level].append(stop)
        stalled[level].append(stop)
    return playing


def start_states(playing: list[State]) -> list[State]:
    """Build the states of sessions that have not started: the start is all that may come."""
    return [
        [(event_end(PlaybackKind.START, bitrate), state)] * (STEPS_IN_A_STATE + 1)
        for bitrate, state in zip(BITRATES_KBPS, playing, strict=True)
    ]


def _next(
    random: Random, health: str, level: int, playing: list[State], stalled: list[State]
) -> Step:
    """Draw what may follow while a session plays at a level of the ladder."""
    bitrate, draw = BITRATES_KBPS[level], random.random() * 100
    if draw < _ERROR_PERCENT[health]:
        code = random.choice(_ERROR_CODES)
        return event_end(PlaybackKind.ERROR, bitrate, error_code=code), playing[level]
    if draw < _ERROR_PERCENT[health] + _STALL_PERCENT[health]:
        stall_ms = int(random.expovariate(1 / _TYPICAL_STALL_MS[health]))
        return event_end(PlaybackKind.STALL, bitrate, stall_ms=stall_ms), stalled[level]
    # Healthy sessions climb the ladder, troubled ones slip.
    up = random.random() < (0.75 if health == "healthy" else 0.35)
    other = min(level + 1, len(BITRATES_KBPS) - 1) if up else max(level - 1, 0)
    return event_end(PlaybackKind.BITRATE_CHANGE, BITRATES_KBPS[other]), playing[other]
