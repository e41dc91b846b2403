"""What `streamapp trace` prints of a record's way, for people and for programs."""

import json
from collections.abc import Sequence

import orjson

from streamapp.cli.way_json import way_json
from streamapp.cli.way_text import way_lines
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter, retry
from streamapp.record_way.search import Bounds
from streamapp.record_way.way import Way
from tests.unit.record_way.test_follow import Mendable, odd_only
from tests.unit.record_way.traced import broker_of, run, send_back, source, traced
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import in_virtual_time, service

FILTERED = "it wrote nothing: it was filtered, or its policy dropped it"
SECRETS = (b"a-secret-key", b"a-secret-value", b"a-secret-header")


def lines(way: Way, *, show_payload: bool = False, why: Sequence[str] = ()) -> str:
    told = way_lines(way, 2_000.0, {("p", "one"): list(why)}, show_payload=show_payload)
    return "\n".join(told)


@in_virtual_time
async def test_each_stage_and_what_it_wrote_stands_in_a_line() -> None:
    pipeline = build(source().stage(same, name="one").stage(odd_only, name="two").sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), timestamp=1000)
    await broker.write("in", (b"k", b"2"), timestamp=2000)
    await run(broker, pipeline)
    assert lines(await traced(broker, "in:0:1", pipeline)).splitlines() == [
        "in:0:1  1970-01-01 00:00:02.000, asked for",
        "  p.one: has finished it (committed 2 of 2)",
        "    wrote, probable by key and time:",
        "      p.one:0:1  1970-01-01 00:00:02.000",
        f"        p.two: has finished it (committed 2 of 2); {FILTERED}",
    ]


@in_virtual_time
async def test_records_that_are_alike_are_told_once() -> None:
    pipeline = build(source().stage(same, name="one").stage(same, name="two").sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), (b"k", b"2"), timestamp=1000)
    await run(broker, pipeline)
    time, done = "1970-01-01 00:00:01.000", "has finished it (committed 2 of 2)"
    assert lines(await traced(broker, "in:0:0", pipeline)).splitlines() == [
        f"in:0:0  {time}, asked for",
        f"  p.one: {done}",
        "    wrote some of 2 that are alike, probable by key and time:",
        f"      p.one:0:0  {time}",
        f"        p.two: {done}",
        "          wrote some of 2 that are alike, probable by key and time:",
        f"            out:0:0  {time}",
        f"            out:0:1  {time}",
        f"      p.one:0:1  {time}",
        f"        p.two: {done}",
        "          wrote some of 2 that are alike, probable by key and time: those of out above",
    ]


@in_virtual_time
async def test_why_a_record_waits_is_told_and_that_no_worker_runs() -> None:
    pipeline = build(source().stage(same, name="one").sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), timestamp=1000)
    told = lines(await traced(broker, "in:0:0", pipeline), why=["p.one: failing: held"])
    assert told.splitlines()[1:] == [
        "  p.one: has committed nothing in this partition; no worker in its group",
        "    p.one: failing: held",
    ]


@in_virtual_time
async def test_that_it_is_not_known_why_a_record_waits_is_told_where_workers_run() -> None:
    step = Mendable()
    pipeline = build(source().stage(step.agent, name="one", on_error=retry(99)).sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"))
    async with running(service(broker, pipeline)):
        await until(lambda: broker.members("p.one") == 1)
        way = await traced(broker, "in:0:0", pipeline)
    unknown = "why is not known: no service on this machine answers; give --web-url"
    assert unknown in "\n".join(way_lines(way, 2_000.0, {}, show_payload=False))
    assert unknown not in lines(way)


@in_virtual_time
async def test_letters_and_replays_are_told_and_programs_get_the_same() -> None:
    step = Mendable()
    pipeline = build(source().stage(step.agent, name="one", on_error=dead_letter()).sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), timestamp=1000)
    await run(broker, pipeline)
    await send_back(broker, "p.one.dlq", pipeline)
    way = await traced(broker, "p.one.dlq:0:0", pipeline)
    told = lines(way)
    assert "made of in:0:0: certain, by the headers of its failure" in told
    assert "gave it up as p.one.dlq:0:0: failed ValueError after 1 attempts; replayed at" in told
    assert "sent back as p.one.replay:0:0: the stage has not finished it" in told

    data = way_json(way, 2_000.0, {}, show_payload=False)
    assert orjson.loads(orjson.dumps(data)) == json.loads(json.dumps(data))
    assert (data["version"], data["complete"]) == (1, True)
    [visit] = data["start"]["visits"]
    assert [one["state"] for one in visit["dead_letters"]] == ["replayed"]
    assert [(one["kind"], one["replay"]) for one in visit["returns"]] == [("replay", "r1")]


@in_virtual_time
async def test_payloads_are_shown_only_if_they_are_asked_for() -> None:
    pipeline = build(source().stage(same, name="one").sink("out"))
    broker = await broker_of(pipeline)
    key, value, header = SECRETS
    await broker.write("in", (key, value), headers=[("id", header)], timestamp=1000)
    await run(broker, pipeline)
    way = await traced(broker, "in:0:0", pipeline)
    hidden = lines(way) + json.dumps(way_json(way, 2_000.0, {}, show_payload=False))
    assert not [one for one in SECRETS if one.decode() in hidden]
    assert "a-secret-key = a-secret-value" in lines(way, show_payload=True)
    shown = way_json(way, 2_000.0, {}, show_payload=True)
    assert shown["asked"]["key"] == "YS1zZWNyZXQta2V5"


@in_virtual_time
async def test_the_bounds_of_the_search_are_told_in_a_sentence() -> None:
    pipeline = build(source().stage(same, name="one").sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", *((b"k", b"%d" % n) for n in range(5)), timestamp=1000)
    await run(broker, pipeline)
    way = await traced(broker, "in:0:0", pipeline, bounds=Bounds(max_records=2))
    assert lines(way).splitlines()[-1] == (
        "The bounds of the search were reached: 3 of out were not looked at; raise --max-records or"
        " --max-seconds."
    )
    assert way_json(way, 2_000.0, {}, show_payload=False)["complete"] is False
