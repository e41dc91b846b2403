"""Prepared parts of playback events, which the generator only has to join.

A session moves through states. A state is a list of equally likely steps, followed by the step that
stops the session. A step is the end of an event's JSON and the next state.
"""

from random import Random
from typing import TypeAlias

from streamapp.examples.playback.models import PlaybackKind

Step: TypeAlias = tuple[bytes, list["Step"]]
State: TypeAlias = list[Step]

STEPS_IN_A_STATE = 128
"""Number of random steps in every state, without the step that stops."""

BITRATES_KBPS = (400, 900, 1_800, 3_200, 4_500, 6_000)
"""The bitrates between which players switch, in ascending order."""

_ERROR_CODES = ("network_timeout", "manifest_404", "segment_404", "decoder_reset", "drm_expired")
_TYPICAL_STALL_MS = {"healthy": 400, "troubled": 3_500}

# How often each kind follows while a session plays, in percent; the rest changes the bitrate.
_STALL_PERCENT = {"healthy": 12, "troubled": 40}
_ERROR_PERCENT = {"healthy": 1, "troubled": 8}


def event_end(
    kind: PlaybackKind,
    bitrate_kbps: int,
    *,
    stall_ms: int | None = None,
    error_code: str | None = None,
) -> bytes:
    """Render the JSON of an event from after its time to its end, with the given fields."""
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
    """Build the states of sessions that have not started; their only step is the start."""
    return [
        [(event_end(PlaybackKind.START, bitrate), state)] * (STEPS_IN_A_STATE + 1)
        for bitrate, state in zip(BITRATES_KBPS, playing, strict=True)
    ]


def _next(
    random: Random, health: str, level: int, playing: list[State], stalled: list[State]
) -> Step:
    """Draw one step of a session that plays at this index of the bitrates."""
    bitrate, draw = BITRATES_KBPS[level], random.random() * 100
    if draw < _ERROR_PERCENT[health]:
        code = random.choice(_ERROR_CODES)
        return event_end(PlaybackKind.ERROR, bitrate, error_code=code), playing[level]
    if draw < _ERROR_PERCENT[health] + _STALL_PERCENT[health]:
        stall_ms = int(random.expovariate(1 / _TYPICAL_STALL_MS[health]))
        return event_end(PlaybackKind.STALL, bitrate, stall_ms=stall_ms), stalled[level]
    # Healthy sessions tend to higher bitrates, troubled ones to lower bitrates.
    up = random.random() < (0.75 if health == "healthy" else 0.35)
    other = min(level + 1, len(BITRATES_KBPS) - 1) if up else max(level - 1, 0)
    return event_end(PlaybackKind.BITRATE_CHANGE, BITRATES_KBPS[other]), playing[other]
