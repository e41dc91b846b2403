"""A seeded generator of playback events, with faults as they occur in reality.

Hot path: `take` makes several hundred thousand events a second in one process, so it joins events
from prepared fragments.
"""

import itertools
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import TypeAlias

import orjson

from streamapp.errors import ConfigurationError
from streamapp.examples.playback.catalog import DEFAULT_TITLE_COUNT, REGIONS, make_titles
from streamapp.examples.playback.fragments import (
    STEPS_IN_A_STATE,
    State,
    session_states,
    start_states,
)
from streamapp.examples.playback.models import RawPlayback
from streamapp.observability.stage_metrics import DeadLetterReason

EVENT_ID_HEADER = "event-id"
"""Header with the event's id, which cannot be read from bytes that do not decode."""

UNKNOWN_TITLE_ID = "title-unknown"


class EventKind(StrEnum):
    """Kind of a generated event, as the ledger lists it."""

    GOOD = "good"
    DUPLICATE = "duplicate"  # a good event, sent again
    LATE = "late"  # good, but it happened long before it was sent
    MALFORMED = "malformed"  # bytes that are not JSON
    MISSING_FIELD = "missing_field"  # JSON without a field that the schema needs
    UNKNOWN_TITLE = "unknown_title"  # a title that the catalogue does not have


EXPECTED_DEAD_LETTERS: Mapping[EventKind, tuple[str, DeadLetterReason]] = MappingProxyType(
    {
        EventKind.MALFORMED: ("validate", DeadLetterReason.DECODE),
        EventKind.MISSING_FIELD: ("validate", DeadLetterReason.DECODE),
        EventKind.UNKNOWN_TITLE: ("enrich", DeadLetterReason.PERMANENT),
    }
)
"""Stage and reason of the dead letter that each faulty kind becomes; others are scored."""

GeneratedEvent: TypeAlias = tuple[bytes, bytes, int, EventKind, bytes]
"""Key (the session's id), value, timestamp in ms (when it is sent), kind, event id."""

_LATE_MS = (2 * 60_000, 30 * 60_000)
_DELAYS_MS = range(20, 500, 30)  # from the player to us; each session has one
_SESSION_EVENTS = (6, 40, 400)  # least, about how many on average more, most
_SITES = tuple(REGIONS)
_DEVICES = ("tv", "phone", "tablet", "browser", "console")
_REQUIRED = tuple(name for name, info in RawPlayback.model_fields.items() if info.is_required())
_TROUBLED_SITES = frozenset({"gru1", "sin2"})

# The number of an event in its id, and the JSON from there to the time.
_ID_ENDS = tuple(b"%d" % n for n in range(_SESSION_EVENTS[2] + 1))
_NUMBERED = tuple(b'%d","sequence":%d,"event_time_ms":' % (n, n) for n in range(len(_ID_ENDS)))


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the kinds other than good among all events, from 0 to 1.

    Raises:
        ConfigurationError: a share is below 0, or they are more than 1 together.
    """

    malformed: float = 0.005
    missing_field: float = 0.005
    unknown_title: float = 0.01
    duplicate: float = 0.01
    late: float = 0.02

    def __post_init__(self) -> None:
        shares = self.by_kind()
        for kind, share in shares.items():
            if not 0 <= share <= 1:
                raise ConfigurationError(f"the share of {kind} is {share}: give 0 to 1")
        if sum(shares.values()) > 1:
            raise ConfigurationError(f"the shares add up to {sum(shares.values())}: give 1 at most")

    def by_kind(self) -> dict[EventKind, float]:
        """The shares by kind."""
        return {EventKind(share.name): getattr(self, share.name) for share in fields(self)}


@dataclass(slots=True)
class _Session:
    """A session that has not stopped.

    Attributes:
        key: id of the session.
        id_start: beginning of the ids of its events, before the number.
        json_start: beginning of the JSON of its events, before the number in the id.
        delay: index of its delay in `_DELAYS_MS`.
        left: number of the event at which it stops.
        state: the steps that may follow.
        sequence: number of its next event.
    """

    key: bytes
    id_start: bytes
    json_start: bytes
    delay: int
    left: int
    state: State
    sequence: int = 0


class PlaybackGenerator:
    """Generates the events of many concurrent sessions; equal arguments give equal events.

    Within a session the sequence numbers of new events grow by one, faulty events included; a
    duplicate repeats an earlier good event of its session, byte for byte and with its id, before
    the next good one. So the sequence of a key's good events never falls.

    Args:
        seed: seed of all random choices; it is part of the session ids.
        sessions: number of concurrent sessions; one that stops is replaced.
        titles: number of watched titles of `TitleCatalog`, with a Zipf distribution.
        shares: shares of the kinds other than good.

    Raises:
        ConfigurationError: there are no sessions, or no titles, or more than the catalogue has.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        sessions: int = 2_000,
        titles: int = DEFAULT_TITLE_COUNT,
        shares: Shares | None = None,
    ) -> None:
        if sessions < 1:
            raise ConfigurationError(f"the generator has {sessions} sessions: give 1 or more")
        if not 1 <= titles <= DEFAULT_TITLE_COUNT:
            raise ConfigurationError(
                f"the generator has {titles} titles: give 1 to {DEFAULT_TITLE_COUNT}"
            )
        self._seed = seed
        self._random = Random(seed)  # noqa: S311 - test data, which has to be reproducible
        self._title_ids = [title.title_id for title in make_titles(titles)]
        self._title_bounds = list(itertools.accumulate(1 / (n + 1) for n in range(titles)))
        self._starts = {
            health: start_states(session_states(self._random, health))
            for health in ("healthy", "troubled")
        }
        chances = (shares or Shares()).by_kind()
        self._kinds = list(chances)
        self._kind_bounds = list(itertools.accumulate(chances.values()))
        self._session_numbers = itertools.count()
        self._sessions = [self._new_session() for _ in range(sessions)]
        self._last_good: GeneratedEvent | None = None

    def take(self, count: int, now_ms: int) -> list[GeneratedEvent]:
        """Make the next `count` events, all sent at `now_ms` (since the epoch).

        Except for their times, the events do not depend on how many are taken at once.
        """
        random, sessions, n_sessions = self._random.random, self._sessions, len(self._sessions)
        usual_from = self._kind_bounds[-1]
        times = [b"%d" % (now_ms - delay) for delay in _DELAYS_MS]
        good = EventKind.GOOD
        last_good = self._last_good
        events: list[GeneratedEvent] = []
        for _ in range(count):
            draw = random()
            if draw < usual_from and last_good and self._kind(draw) is EventKind.DUPLICATE:
                key, value, _, _, event_id = last_good
                events.append((key, value, now_ms, EventKind.DUPLICATE, event_id))
                continue
            index = int(random() * n_sessions)
            session = sessions[index]
            number = session.sequence
            if number < session.left:
                end, session.state = session.state[int(random() * STEPS_IN_A_STATE)]
                session.sequence = number + 1
            else:
                end, _ = session.state[STEPS_IN_A_STATE]
                sessions[index] = self._new_session()
            value = session.json_start + _NUMBERED[number] + times[session.delay] + end
            event = (session.key, value, now_ms, good, session.id_start + _ID_ENDS[number])
            if draw < usual_from:
                event = self._changed(event, self._kind(draw))
            if event[3] is good or event[3] is EventKind.LATE:
                last_good = event
            events.append(event)
        self._last_good = last_good
        return events

    def stream(self, start_ms: int, events_per_second: int = 100_000) -> Iterator[GeneratedEvent]:
        """Make endless events, with times that start at `start_ms` and advance by the rate.

        Raises:
            ConfigurationError: the rate is below 1.
        """
        if events_per_second < 1:
            raise ConfigurationError(
                f"the generator makes {events_per_second} events a second: give 1 or more"
            )
        at_a_time = max(1, events_per_second // 1_000)
        for taken in itertools.count(step=at_a_time):
            yield from self.take(at_a_time, start_ms + taken * 1_000 // events_per_second)

    def _kind(self, draw: float) -> EventKind:
        return self._kinds[bisect(self._kind_bounds, draw)]

    def _new_session(self) -> _Session:
        random = self._random
        key = f"s{self._seed}-{next(self._session_numbers):016x}"
        title = self._title_ids[
            bisect(self._title_bounds, random.random() * self._title_bounds[-1])
        ]
        site = random.choice(_SITES)
        troubled = random.random() < (0.6 if site in _TROUBLED_SITES else 0.05)
        least, more, most = _SESSION_EVENTS
        return _Session(
            key=key.encode(),
            id_start=f"{key}-".encode(),
            json_start=(
                f'{{"session_id":"{key}","title_id":"{title}","cdn":"{site}"'
                f',"device":"{random.choice(_DEVICES)}","event_id":"{key}-'
            ).encode(),
            delay=random.randrange(len(_DELAYS_MS)),
            left=min(most, least + int(random.expovariate(1 / more))),
            state=random.choice(self._starts["troubled" if troubled else "healthy"]),
        )

    def _changed(self, event: GeneratedEvent, kind: EventKind) -> GeneratedEvent:
        """Change a good event to another kind."""
        key, value, now_ms, _, event_id = event
        if kind is EventKind.DUPLICATE:  # there is nothing to repeat yet
            return event
        if kind is EventKind.MALFORMED:
            return key, self._malformed(value), now_ms, kind, event_id
        fields_of = orjson.loads(value)
        if kind is EventKind.MISSING_FIELD:
            del fields_of[self._random.choice(_REQUIRED)]
        elif kind is EventKind.UNKNOWN_TITLE:
            fields_of["title_id"] = UNKNOWN_TITLE_ID
        else:
            fields_of["event_time_ms"] -= self._random.randrange(*_LATE_MS)
        return key, orjson.dumps(fields_of), now_ms, kind, event_id

    def _malformed(self, value: bytes) -> bytes:
        """Break the JSON, in one of the ways that happen on a network."""
        return self._random.choice(
            (
                value[: self._random.randrange(1, len(value))],  # cut off
                value.replace(b'"kind":"', b'"kind":"\xff'),  # not UTF-8
                value.replace(b",", b";"),
                b"<html><body>502 Bad Gateway</body></html>",
                b"",
            )
        )
