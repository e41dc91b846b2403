"""A record is followed through its stages, and what is not certain is told as that."""

from streamapp.brokers.protocols import CommittedOffset, TopicSpec
from streamapp.errors import Permanent
from streamapp.pipeline.agent import agent
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter, retry_later
from streamapp.record import TopicPartition
from streamapp.record_way.progress import Standing
from streamapp.record_way.search import MOST_KEPT, Bounds
from streamapp.runtime.commit_metadata import encode
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern
from tests.unit.record_way.traced import broker_of, outputs, run, send_back, source, traced
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_with, in_virtual_time, service


@agent
def odd_only(value: bytes) -> bytes | None:
    return value if int(value) % 2 else None


@agent
def renamed(value: bytes) -> Out[bytes]:
    return Out(value, key=b"another " + value)


class Mendable:
    """An agent that refuses all until it is mended."""

    def __init__(self) -> None:
        self.is_mended = False

        @agent
        async def check(value: bytes, context: Context) -> bytes:
            assert context.attempt
            if not self.is_mended:
                raise ValueError("a secret")
            return value

        self.agent = check


TWO_STAGES = build(source().stage(same, name="one").stage(same, name="two").sink("out"))


@in_virtual_time
async def test_a_record_is_followed_from_topic_to_topic() -> None:
    broker = await broker_of(TWO_STAGES)
    for n in range(3):
        await broker.write("in", (b"k%d" % n, b"%d" % n), timestamp=1000 + n)
    await run(broker, TWO_STAGES)
    way = await traced(broker, "in:0:1", TWO_STAGES)
    assert (way.origins, way.unread, way.broken) == ([], {}, [])
    [one] = way.start.visits
    assert (one.progress.standing, one.progress.committed) == (Standing.FINISHED, 3)
    assert outputs(one) == [("p.one:0:1", "probable", "by key and time")]
    [two] = one.outputs[0].stop.visits
    assert outputs(two) == [("out:0:1", "probable", "by key and time")]
    assert two.outputs[0].stop.visits == []


@in_virtual_time
async def test_records_that_are_alike_are_all_told_unless_an_audit_trail_tells_them_apart() -> None:
    plain = build(source().stage(same, name="one").sink("out"))
    broker = await broker_of(plain)
    await broker.write("in", (b"k", b"1"), (b"k", b"2"), timestamp=1000)
    await run(broker, plain)
    [visit] = (await traced(broker, "in:0:1", plain)).start.visits
    assert outputs(visit) == [(f"out:0:{n}", "probable", "by key and time") for n in range(2)]

    audited = build(source(audit="all").stage(same, name="one").sink("out"))
    broker = await broker_of(audited)
    await broker.write("in", (b"k", b"1"), (b"k", b"2"), timestamp=1000)
    await run(broker, audited)
    [visit] = (await traced(broker, "in:0:1", audited)).start.visits
    assert outputs(visit) == [("out:0:1", "certain", "by its audit trail")]
    back = await traced(broker, "out:0:1", audited)
    assert [[str(one.found.address) for one in links] for links in back.origins] == [["in:0:1"]]


@in_virtual_time
async def test_an_output_with_another_key_is_found_by_its_headers_or_told_of() -> None:
    pipeline = build(source().stage(renamed, name="one").sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"a", b"1"), headers=[("id", b"1")], timestamp=1000)
    await broker.write("in", (b"b", b"2"), headers=[("id", b"2")], timestamp=1000)
    await broker.write("in", (b"c", b"3"), timestamp=2000)
    await run(broker, pipeline)
    [visit] = (await traced(broker, "in:0:1", pipeline)).start.visits
    assert outputs(visit) == [("out:0:1", "probable", "by headers and time")]
    [visit] = (await traced(broker, "in:0:2", pipeline)).start.visits
    assert (outputs(visit), visit.others) == ([], 1)


@in_virtual_time
async def test_a_record_is_found_among_thousands_of_the_same_millisecond() -> None:
    pipeline = build(source().stage(same, name="one").stage(same, name="two").sink("out"))
    broker = await broker_of(pipeline)
    many = [(b"k%d" % n, b"%d" % n) for n in range(2 * MOST_KEPT + 500)]
    await broker.write("in", *many, timestamp=1000)
    await run(broker, pipeline)
    last = len(many) - 1
    way = await traced(broker, f"in:0:{last}", pipeline)
    [visit] = way.start.visits
    assert outputs(visit) == [(f"p.one:0:{last}", "probable", "by key and time")]
    assert visit.others == last
    assert outputs(visit.outputs[0].stop.visits[0])[0][0] == f"out:0:{last}"
    back = await traced(broker, f"out:0:{last}", pipeline)
    assert str(back.start.found.address) == f"in:0:{last}"


@in_virtual_time
async def test_traces_tell_records_apart() -> None:
    pipeline = build(source().stage(same, name="one").sink("out"))
    broker = await broker_of(pipeline)
    for n in range(2):
        await broker.write(
            "in", (b"k", b"v"), headers=[("traceparent", b"00-%d-1-01" % n)], timestamp=1000
        )
    await run(broker, pipeline)
    [visit] = (await traced(broker, "in:0:1", pipeline)).start.visits
    assert [one[0] for one in outputs(visit)] == ["out:0:1"]


@in_virtual_time
async def test_records_without_keys_are_told_as_possible_only() -> None:
    pipeline = build(source().stage(same, name="one").sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (None, b"1"), timestamp=1000)
    await run(broker, pipeline)
    [visit] = (await traced(broker, "in:0:0", pipeline)).start.visits
    assert outputs(visit) == [("out:0:0", "possible", "by time alone")]


@in_virtual_time
async def test_a_record_that_waits_is_told_with_those_before_it_and_without_workers() -> None:
    broker = await broker_of(TWO_STAGES)
    place = TopicPartition("in", 0)
    for n in range(5):
        await broker.write("in", (b"k%d" % n, b"%d" % n), timestamp=1000 + n)
    [visit] = (await traced(broker, "in:0:3", TWO_STAGES)).start.visits
    assert (visit.progress.standing, visit.progress.members) == (Standing.NOT_READ, 0)

    text, _ = encode(1, [2, 4])
    await broker.admin().set_offsets("p.one", {place: CommittedOffset(1, text)})
    [visit] = (await traced(broker, "in:0:3", TWO_STAGES)).start.visits
    assert (visit.progress.standing, visit.progress.unfinished_before) == (Standing.WAITS, 1)
    assert visit.progress.is_own_commit
    for offset, is_ahead in ((0, False), (2, True), (4, True)):
        [visit] = (await traced(broker, f"in:0:{offset}", TWO_STAGES)).start.visits
        assert visit.progress.standing is Standing.FINISHED
        assert visit.progress.is_ahead is is_ahead

    await broker.admin().set_offsets("p.one", {place: CommittedOffset(1)})
    [visit] = (await traced(broker, "in:0:3", TWO_STAGES)).start.visits
    assert not visit.progress.is_own_commit


@in_virtual_time
async def test_a_filtered_record_has_written_nothing() -> None:
    pipeline = build(source().stage(odd_only, name="one").sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), timestamp=1000)
    await broker.write("in", (b"k", b"2"), timestamp=2000)
    await run(broker, pipeline)
    [visit] = (await traced(broker, "in:0:1", pipeline)).start.visits
    assert (visit.progress.standing, visit.outputs, visit.letters) == (Standing.FINISHED, [], [])


@in_virtual_time
async def test_a_dead_letter_its_replay_and_what_became_of_it_are_found_from_each_of_them() -> None:
    step = Mendable()
    pipeline = build(
        source()
        .stage(same, name="one")
        .stage(step.agent, name="two", on_error=dead_letter())
        .sink("out")
    )
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), timestamp=1000)
    await run(broker, pipeline)
    [one] = (await traced(broker, "in:0:0", pipeline)).start.visits
    [two] = one.outputs[0].stop.visits
    assert [(str(one.stop.found.address), one.entry.state) for one in two.letters] == [
        ("p.two.dlq:0:0", "open")
    ]
    assert (two.outputs, two.returns) == ([], [])

    await send_back(broker, "p.two.dlq", pipeline)
    [one] = (await traced(broker, "in:0:0", pipeline)).start.visits
    [two] = one.outputs[0].stop.visits
    assert [one.entry.state for one in two.letters] == ["replayed"]
    [back] = two.returns
    assert (back.neighbour.role, back.progress.standing) == ("replay", Standing.NOT_READ)

    step.is_mended = True
    await run(broker, pipeline)
    for address in ("in:0:0", "p.one:0:0", "p.two.dlq:0:0", "p.two.replay:0:0", "out:0:0"):
        way = await traced(broker, address, pipeline)
        assert str(way.start.found.address) == "in:0:0", address
        [two] = way.start.visits[0].outputs[0].stop.visits
        assert [one.progress.standing for one in two.returns] == [Standing.FINISHED]
        assert outputs(two) == [("out:0:0", "certain", "by its audit trail")]


@in_virtual_time
async def test_what_is_like_a_record_that_was_given_up_is_of_others() -> None:
    @agent
    async def unlike(value: bytes) -> bytes:
        if value == b"2":
            raise Permanent("no")
        return value

    pipeline = build(source().stage(unlike, name="one", on_error=dead_letter()).sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), (b"k", b"2"), timestamp=1000)
    await run(broker, pipeline)
    [visit] = (await traced(broker, "in:0:1", pipeline)).start.visits
    assert (len(visit.letters), visit.outputs) == (1, [])
    [visit] = (await traced(broker, "in:0:0", pipeline)).start.visits
    assert (len(visit.letters), len(visit.outputs)) == (0, 1)


@in_virtual_time
async def test_a_record_that_waits_for_a_later_retry_is_told_with_its_time() -> None:
    step = Mendable()
    pipeline = build(source().stage(step.agent, name="one", on_error=retry_later([10])).sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"))
    async with running(service(broker, pipeline)):
        await until(lambda: len(broker.records("p.one.retry-10s")) == 1)
        [visit] = (await traced(broker, "in:0:0", pipeline)).start.visits
        [back] = visit.returns
        assert (back.neighbour.role, visit.letters) == ("retry", [])
        assert back.progress.standing is not Standing.FINISHED
        assert back.due_at is not None
        assert 9 < back.due_at - broker.clock.time() <= 10
        way = await traced(broker, "p.one.retry-10s:0:0", pipeline)
        assert str(way.start.found.address) == "in:0:0"
        step.is_mended = True
        await until(lambda: broker.values("out") == [b"1"], seconds=60)
    [visit] = (await traced(broker, "in:0:0", pipeline)).start.visits
    assert visit.returns[0].progress.standing is Standing.FINISHED
    assert outputs(visit) == [("out:0:0", "certain", "by its audit trail")]


@in_virtual_time
async def test_fused_stages_are_one_visit_and_the_dead_letter_names_the_one_that_failed() -> None:
    step = Mendable()
    pipeline = build(
        source().stage(same, name="one").stage(step.agent, name="two", fused=True).sink("out")
    )
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), timestamp=1000)
    await run(broker, pipeline)
    [visit] = (await traced(broker, "in:0:0", pipeline)).start.visits
    assert list(visit.stages) == ["one", "two"]
    assert [(one.stage, str(one.stop.found.address)) for one in visit.letters] == [
        ("two", "p.two.dlq:0:0")
    ]


@in_virtual_time
async def test_stages_of_a_bundle_are_looked_up_in_its_group_and_of_several_sources_each() -> None:
    pipeline = Pipeline("p", source=[Topic("in", bytes), Topic("more-1", bytes)])
    bundle = build_bundle(Bundle("b", [pipeline.stage(same, name="one").sink("out")]))
    broker = await broker_of(*bundle)
    for topic in ("in", "more-1"):
        await broker.write(topic, (b"k", topic.encode()), timestamp=1000)
    await run(broker, *bundle)
    [visit] = (await traced(broker, "more-1:0:0", *bundle)).start.visits
    assert (visit.progress.group, visit.progress.standing) == ("b", Standing.FINISHED)
    assert len(outputs(visit)) == 2
    back = await traced(broker, "out:0:0", *bundle)
    assert {str(one.found.address) for one in back.origins[0]} == {"in:0:0", "more-1:0:0"}
    assert str(back.start.found.address) == "out:0:0"


@in_virtual_time
async def test_topics_that_match_a_pattern_are_sources() -> None:
    pattern = TopicPattern(r"more-.*", bytes)
    pipeline = build(Pipeline("p", source=pattern).stage(same, name="one").sink("out"))
    broker = await broker_with("more-1", "out", "p.one.dlq")
    await broker.write("more-1", (b"k", b"1"), timestamp=1000)
    await run(broker, pipeline)
    back = await traced(broker, "out:0:0", pipeline)
    assert str(back.start.found.address) == "more-1:0:0"
    assert outputs(back.start.visits[0])[0][0] == "out:0:0"


@in_virtual_time
async def test_what_the_bounds_leave_out_is_told() -> None:
    broker = await broker_of(TWO_STAGES)
    await broker.write("in", *((b"k%d" % n, b"%d" % n) for n in range(50)), timestamp=1000)
    await run(broker, TWO_STAGES)
    way = await traced(broker, "in:0:49", TWO_STAGES, bounds=Bounds(max_records=10))
    assert sum(way.unread.values()) == 90
    [visit] = way.start.visits
    assert visit.unread
    assert (await traced(broker, "in:0:49", TWO_STAGES)).unread == {}


@in_virtual_time
async def test_only_what_is_not_older_than_the_record_is_read() -> None:
    broker = await broker_of(TWO_STAGES)
    now_ms = int(broker.clock.time() * 1000)
    for n in range(50):
        await broker.write("in", (b"k", b"%d" % n), timestamp=now_ms - 1000 + n)
    await run(broker, TWO_STAGES)
    way = await traced(broker, "in:0:48", TWO_STAGES, bounds=Bounds(max_records=4))
    assert way.unread == {}
    assert outputs(way.start.visits[0]) == [("p.one:0:48", "probable", "by key and time")]


@in_virtual_time
async def test_origins_that_were_deleted_are_known_by_what_was_made_of_them() -> None:
    step = Mendable()
    pipeline = build(source().stage(step.agent, name="one", on_error=dead_letter()).sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), timestamp=1000)
    await run(broker, pipeline)
    await broker.admin().delete_records({TopicPartition("in", 0): 1})
    way = await traced(broker, "p.one.dlq:0:0", pipeline)
    assert (str(way.start.found.address), way.start.found.is_gone) == ("in:0:0", True)
    assert [str(one.stop.found.address) for one in way.start.visits[0].letters] == ["p.one.dlq:0:0"]


@in_virtual_time
async def test_a_topic_that_has_deleted_records_is_told() -> None:
    broker = await broker_of(TWO_STAGES)
    await broker.write("in", (b"k", b"1"), (b"k", b"2"), timestamp=1000)
    await run(broker, TWO_STAGES)
    await broker.admin().delete_records({TopicPartition("p.one", 0): 1})
    [visit] = (await traced(broker, "in:0:0", TWO_STAGES)).start.visits
    assert visit.trimmed == ["p.one"]


@in_virtual_time
async def test_a_failure_of_an_earlier_topic_of_that_name_is_not_taken_for_this_record() -> None:
    step = Mendable()
    pipeline = build(source().stage(step.agent, name="one", on_error=dead_letter()).sink("out"))
    broker = await broker_of(pipeline)
    await broker.write("in", (b"k", b"1"), timestamp=2000)
    await run(broker, pipeline)
    await broker.admin().delete_topics(["in"])
    await broker.admin().create_topics([TopicSpec("in", 1)])
    await broker.write("in", (b"k", b"1"), timestamp=1000)
    [visit] = (await traced(broker, "in:0:0", pipeline)).start.visits
    assert visit.letters == []
