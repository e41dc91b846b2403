import time
from collections import Counter, defaultdict

import pytest
from pydantic import ValidationError

from streamapp.errors import Permanent
from streamapp.examples.playback.agents import (
    ALERTS_ROUTE,
    POOR_QUALITY,
    FindTitle,
    enrich,
    find_region,
    route,
    score,
    validate,
)
from streamapp.examples.playback.catalog import REGIONS, TitleCatalog, make_titles
from streamapp.examples.playback.generator import (
    EXPECTED_DEAD_LETTERS,
    EventKind,
    PlaybackGenerator,
)
from streamapp.examples.playback.models import (
    Cause,
    EnrichedPlayback,
    PlaybackKind,
    RawPlayback,
    ScoredPlayback,
)
from streamapp.examples.playback.pipeline import enrich_from
from streamapp.examples.playback.pipeline import score as pool_of_scorers
from streamapp.pipeline.combinators.pool import named_pools
from streamapp.pipeline.out import Out
from streamapp.policies.fault import Fault, whose_fault
from streamapp.serialisation import json_codec

RAW = RawPlayback(
    event_id="s1-0",
    session_id="s1",
    sequence=0,
    event_time_ms=1_767_225_600_000,
    title_id="title-00003",
    cdn="fra2",
    device="tv",
    kind="resume",
    bitrate_kbps=6_000,
)


def scored(**fields: object) -> ScoredPlayback:
    event = validate(RAW.model_copy(update=fields))
    return score(
        EnrichedPlayback.model_validate(
            {**event.__dict__, "title": "T", "genre": "drama", "region": "oceania"}
        )
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "explode"},
        {"sequence": -1},
        {"bitrate_kbps": -1},
        {"stall_ms": -5},
        {"event_time_ms": -1},
        {"session_id": ""},
    ],
)
def test_validate_refuses_what_fields_cannot_hold(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        validate(RAW.model_copy(update=fields))


def test_validate_keeps_every_field() -> None:
    assert validate(RAW).model_dump() == RAW.model_dump()


async def test_enrich_adds_title_and_region() -> None:
    async with TitleCatalog() as catalog:
        event = await enrich_from(catalog)(validate(RAW))
    assert (event.title, event.genre, event.region) == (
        make_titles()[3].name,
        make_titles()[3].genre,
        "europe-central",
    )
    assert event.event_id == RAW.event_id


@pytest.mark.parametrize(("field", "says"), [("title_id", "title 'x'"), ("cdn", "site 'x'")])
async def test_what_does_not_exist_is_the_records_fault(field: str, says: str) -> None:
    async with TitleCatalog() as catalog:
        look_up = enrich_from(catalog)
        with pytest.raises(Permanent, match=says):
            await look_up(validate(RAW.model_copy(update={field: "x"})))


async def test_a_catalogue_that_is_down_is_the_worlds_fault() -> None:
    async with TitleCatalog() as catalog:
        catalog.is_down = True
        with pytest.raises(ConnectionError) as raised:
            await enrich_from(catalog)(validate(RAW))
    assert whose_fault(raised.value) is Fault.WORLD


async def test_two_scorers_score_in_a_pool() -> None:
    async with TitleCatalog() as catalog:
        event = await enrich_from(catalog)(validate(RAW))
    assert {(await pool_of_scorers(event)).quality for _ in range(10)} == {score(event).quality}
    [members] = [read(time.monotonic()) for read in named_pools(pool_of_scorers).values()]
    assert {one.name for one in members} == {"first-scorer", "second-scorer"}
    assert sum(one.calls for one in members) == 10


async def test_a_catalogue_answers_only_while_it_is_open() -> None:
    catalog = TitleCatalog()
    with pytest.raises(RuntimeError, match="not open"):
        await catalog.title("title-00000")
    async with catalog:
        assert await catalog.title("title-00000") == make_titles()[0]
        assert await catalog.title("title-unknown") is None
    with pytest.raises(RuntimeError, match="not open"):
        await catalog.title("title-00000")


def test_flawless_playback_has_full_quality() -> None:
    event = scored()
    assert (event.quality, event.cause) == (100, Cause.NONE)


@pytest.mark.parametrize(
    ("worse", "better", "cause"),
    [
        ({"stall_ms": 3_000}, {"stall_ms": 200}, Cause.STALL),
        ({"bitrate_kbps": 400}, {"bitrate_kbps": 4_500}, Cause.BITRATE),
        ({"kind": "error"}, {"kind": "stop"}, Cause.ERROR),
        ({"kind": "error", "stall_ms": 60_000}, {"stall_ms": 60_000}, Cause.ERROR),
        ({"bitrate_kbps": 400, "stall_ms": 5_000}, {"bitrate_kbps": 400}, Cause.STALL),
        ({"bitrate_kbps": 400, "stall_ms": 160}, {"stall_ms": 160}, Cause.BITRATE),
    ],
)
def test_what_viewers_dislike_lowers_quality(
    worse: dict[str, object], better: dict[str, object], cause: Cause
) -> None:
    assert scored(**worse).quality < scored(**better).quality
    assert scored(**worse).cause is cause


def test_quality_never_leaves_its_range() -> None:
    assert scored(kind="error", bitrate_kbps=0, stall_ms=10**9).quality == 0
    assert scored(bitrate_kbps=10**6).quality == 100


def test_scoring_twice_gives_the_same() -> None:
    assert scored(stall_ms=900) == scored(stall_ms=900)


def test_only_poor_quality_raises_an_alert() -> None:
    good, poor = scored(), scored(kind="error", stall_ms=9_000)
    assert poor.quality < POOR_QUALITY <= good.quality
    assert list(route(good)) == [Out(good)]
    assert list(route(poor)) == [Out(poor), Out(poor, to=ALERTS_ROUTE)]


async def test_generated_events_end_where_the_generator_says() -> None:
    decode = json_codec(RawPlayback).decode
    find_title = FindTitle()
    await find_title.open()
    ends: defaultdict[EventKind, Counter[str]] = defaultdict(Counter)
    alerts = 0
    for _, value, _, kind, _ in PlaybackGenerator(11).take(20_000, 1_767_225_600_000):
        try:
            valid = validate(decode(value))
            event = score(enrich(valid, await find_title(valid), find_region(valid)))
        except ValidationError:
            ends[kind]["validate"] += 1
        except Permanent:
            ends[kind]["enrich"] += 1
        else:
            ends[kind]["through"] += 1
            alerts += len(list(route(event))) - 1
    for kind in EventKind:
        stage, _ = EXPECTED_DEAD_LETTERS.get(kind, ("through", None))
        assert set(ends[kind]) == {stage}
    through = sum(counts["through"] for counts in ends.values())
    assert 0.01 < alerts / through < 0.2


def test_the_generators_sites_and_kinds_are_known() -> None:
    events = PlaybackGenerator(11, sessions=50).take(5_000, 1_767_225_600_000)
    decode = json_codec(RawPlayback).decode
    good = [decode(value) for _, value, _, kind, _ in events if kind is EventKind.GOOD]
    assert {event.cdn for event in good} == set(REGIONS)
    assert {event.kind for event in good} == set(PlaybackKind)
