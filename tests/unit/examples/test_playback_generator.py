import itertools
from collections import Counter, defaultdict

import orjson
import pytest
from pydantic import ValidationError

from streamapp.errors import ConfigurationError
from streamapp.examples.playback.catalog import make_titles
from streamapp.examples.playback.generator import (
    EXPECTED_DEAD_LETTERS,
    EventKind,
    GeneratedEvent,
    PlaybackGenerator,
    Shares,
)
from streamapp.examples.playback.models import PlaybackKind, RawPlayback
from streamapp.serialisation import json_codec

NOW_MS = 1_767_225_600_000
DECODES = {EventKind.GOOD, EventKind.DUPLICATE, EventKind.LATE, EventKind.UNKNOWN_TITLE}
GETS_THROUGH = set(EventKind) - set(EXPECTED_DEAD_LETTERS)

decode = json_codec(RawPlayback).decode


@pytest.fixture(scope="module")
def events() -> list[GeneratedEvent]:
    return PlaybackGenerator(7, sessions=300).take(60_000, NOW_MS)


def number(event_id: bytes) -> int:
    return int(event_id.rpartition(b"-")[2])


def test_equal_seeds_give_equal_events_however_many_are_taken_at_a_time() -> None:
    one = PlaybackGenerator(7, sessions=50).take(2_000, NOW_MS)
    other = PlaybackGenerator(7, sessions=50)
    pieces = [other.take(size, NOW_MS) for size in (1, 499, 1_000, 500)]
    assert list(itertools.chain.from_iterable(pieces)) == one


def test_another_seed_gives_other_events_and_ids() -> None:
    ids = [
        {event[4] for event in PlaybackGenerator(seed, sessions=50).take(1_000, NOW_MS)}
        for seed in (1, 2)
    ]
    assert not ids[0] & ids[1]


def test_shares_are_as_declared(events: list[GeneratedEvent]) -> None:
    counts = Counter(event[3] for event in events)
    for kind, share in Shares().by_kind().items():
        expected = share * len(events)
        assert abs(counts[kind] - expected) < 5 * expected**0.5, kind


def test_without_shares_everything_is_good() -> None:
    shares = Shares(malformed=0, missing_field=0, unknown_title=0, duplicate=0, late=0)
    events = PlaybackGenerator(7, shares=shares).take(5_000, NOW_MS)
    assert {event[3] for event in events} == {EventKind.GOOD}


def test_a_share_may_be_everything() -> None:
    shares = Shares(malformed=1, missing_field=0, unknown_title=0, duplicate=0, late=0)
    events = PlaybackGenerator(7, shares=shares).take(500, NOW_MS)
    assert {event[3] for event in events} == {EventKind.MALFORMED}


def test_events_decode_unless_they_are_meant_not_to(events: list[GeneratedEvent]) -> None:
    for key, value, _, kind, event_id in events:
        if kind in DECODES:
            event = decode(value)
            assert (event.session_id.encode(), event.event_id.encode()) == (key, event_id)
            assert event.sequence == number(event_id)
        else:
            with pytest.raises(ValidationError):
                decode(value)


def test_malformed_is_not_json_and_missing_field_is(events: list[GeneratedEvent]) -> None:
    for _, value, _, kind, _ in events:
        if kind is EventKind.MALFORMED:
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(value)
        elif kind is EventKind.MISSING_FIELD:
            assert isinstance(orjson.loads(value), dict)


def test_ids_are_unique_but_for_duplicates(events: list[GeneratedEvent]) -> None:
    fresh = [event for event in events if event[3] is not EventKind.DUPLICATE]
    assert len({event[4] for event in fresh}) == len(fresh)


def test_sequences_have_no_gap_and_never_fall(events: list[GeneratedEvent]) -> None:
    sequences: dict[bytes, list[int]] = defaultdict(list)
    through: dict[bytes, list[int]] = defaultdict(list)
    for key, _, _, kind, event_id in events:
        if kind is not EventKind.DUPLICATE:
            sequences[key].append(number(event_id))
        if kind in GETS_THROUGH:
            through[key].append(number(event_id))
    assert all(found == list(range(len(found))) for found in sequences.values())
    assert all(found == sorted(found) for found in through.values())
    assert any(len(set(found)) < len(found) for found in through.values())


def test_a_duplicate_repeats_a_good_event_byte_for_byte(events: list[GeneratedEvent]) -> None:
    values = {e[4]: e[1] for e in events if e[3] in {EventKind.GOOD, EventKind.LATE}}
    duplicates = [event for event in events if event[3] is EventKind.DUPLICATE]
    assert duplicates
    assert all(values[event_id] == value for _, value, _, _, event_id in duplicates)


def test_only_late_events_happened_long_ago(events: list[GeneratedEvent]) -> None:
    for _, value, sent_ms, kind, _ in events:
        if kind in {EventKind.GOOD, EventKind.LATE}:
            age_ms = sent_ms - decode(value).event_time_ms
            assert (age_ms > 60_000) == (kind is EventKind.LATE)
            assert age_ms > 0


def test_only_unknown_titles_are_not_in_the_catalogue(events: list[GeneratedEvent]) -> None:
    known = {title.title_id for title in make_titles()}
    for _, value, _, kind, _ in events:
        if kind in DECODES - {EventKind.DUPLICATE}:
            assert (decode(value).title_id in known) == (kind is not EventKind.UNKNOWN_TITLE)


def test_sessions_start_play_and_stop(events: list[GeneratedEvent]) -> None:
    sessions: dict[bytes, list[str]] = defaultdict(list)
    for key, value, _, kind, _ in events:
        if kind in DECODES - {EventKind.DUPLICATE}:
            sessions[key].append(decode(value).kind)
        elif kind is not EventKind.DUPLICATE:
            sessions[key].append("unreadable")
    seen: Counter[str] = Counter()
    for kinds in sessions.values():
        seen.update(kinds)
        assert kinds[0] in {PlaybackKind.START, "unreadable"}
        assert PlaybackKind.START not in kinds[1:]
        assert PlaybackKind.STOP not in kinds[:-1]
        assert all(
            after in {PlaybackKind.RESUME, PlaybackKind.STOP, "unreadable"}
            for before, after in itertools.pairwise(kinds)
            if before == PlaybackKind.STALL
        )
    assert seen.keys() >= set(PlaybackKind)


def test_few_titles_have_most_of_the_sessions(events: list[GeneratedEvent]) -> None:
    titles = {key: decode(value).title_id for key, value, _, kind, _ in events if kind in DECODES}
    most_watched = [count for _, count in Counter(titles.values()).most_common(100)]
    assert sum(most_watched) > len(titles) / 2


def test_good_events_have_about_220_bytes(events: list[GeneratedEvent]) -> None:
    sizes = [len(value) for _, value, _, kind, _ in events if kind is EventKind.GOOD]
    assert 200 < sum(sizes) / len(sizes) < 240
    assert max(sizes) < 300


def test_a_stream_has_its_own_clock() -> None:
    stream = PlaybackGenerator(7).stream(NOW_MS, events_per_second=2_000)
    times = [event[2] for event in itertools.islice(stream, 2_001)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (NOW_MS, NOW_MS + 1_000)


def test_a_slow_stream_keeps_its_rate() -> None:
    stream = PlaybackGenerator(7).stream(NOW_MS, events_per_second=3)
    assert [event[2] - NOW_MS for event in itertools.islice(stream, 4)] == [0, 333, 666, 1_000]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"sessions": 0}, "0 sessions"),
        ({"titles": 0}, "0 titles"),
        ({"titles": 1_000_000}, "1000000 titles"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments: dict[str, int], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        PlaybackGenerator(1, **arguments)  # type: ignore[arg-type]  # mypy sees shares in it


def test_a_stream_needs_a_rate() -> None:
    with pytest.raises(ConfigurationError, match="0 events a second"):
        next(PlaybackGenerator(1).stream(NOW_MS, events_per_second=0))


@pytest.mark.parametrize(
    ("shares", "says"),
    [({"late": -0.1}, "late is -0.1"), ({"late": 0.6, "duplicate": 0.6}, "add up to 1.2")],
)
def test_shares_that_make_no_sense_are_refused(shares: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Shares(**shares)
