"""A stage holds its records while what it depends on is down, and nothing of it is lost."""

import asyncio
import re
from collections import Counter

import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import Permanent, StageStoppedError, Transient
from streamapp.observability.health import stage_health, stage_readiness
from streamapp.observability.stage_metrics import HoldKind
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import BeyondBudget, DeadLetterBudget
from streamapp.policies.policy import Policy, dead_letter, drop, retry, skip, stop
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.patience import within
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

OUTAGE_SECONDS = 60.0
QUICK = retry(3, backoff=Backoff(base_seconds=0.1, max_seconds=0.4))


class Dependency:
    """What an agent calls; it can be down, and counts the calls."""

    def __init__(self, error: type[Exception] = OSError) -> None:
        self.is_down = False
        self.error = error
        self.calls = 0
        self.calls_while_down = 0
        self.poison: frozenset[bytes] = frozenset()

    def call(self, value: bytes) -> bytes:
        self.calls += 1
        self.calls_while_down += self.is_down
        if self.is_down or value in self.poison:
            raise self.error(f"no answer for {value!r}")
        return value

    @property
    def plain(self) -> Agent[bytes, bytes]:
        @agent
        def plain(value: bytes) -> bytes:
            return self.call(value)

        return plain

    @property
    def waiting(self) -> Agent[bytes, bytes]:
        @agent
        async def waiting(value: bytes) -> bytes:
            await asyncio.sleep(0.01)
            return self.call(value)

        return waiting


async def write(broker: FaultyBroker, values: range, keys: int = 50) -> list[bytes]:
    texts = [b"%d" % n for n in values]
    await broker.write("p-in", *((b"k%d" % (int(text) % keys), text) for text in texts))
    return texts


async def until_committed(broker: FaultyBroker, group: str, offset: int) -> None:
    """Wait longer than any probe does."""
    found: list[int] = []
    async with within(120, f"{group} to commit {offset}", lambda: found[-1:]):
        while (committed := await broker.committed(group)) != offset:
            found.append(committed)
            await asyncio.sleep(0.05)


def shape_of(dependency: Dependency, shape: str) -> Agent[bytes, bytes]:
    return dependency.plain if shape == "plain" else dependency.waiting


@pytest.mark.parametrize("ordering", ["key", "partition", "unordered"])
@pytest.mark.parametrize("shape", ["plain", "waiting"])
@pytest.mark.parametrize("policy", [QUICK, dead_letter()], ids=["retry", "dead letter"])
@in_virtual_time
async def test_an_outage_makes_no_dead_letters_and_all_is_worked_on_after_it(
    policy: Policy, shape: str, ordering: str
) -> None:
    broker, dependency = await broker_for("p"), Dependency()
    stage = service(
        broker, one_stage(shape_of(dependency, shape), policy, ordering=ordering, concurrency=8)
    )
    async with running(stage):
        before = await write(broker, range(100))
        await until_committed(broker, "p.stage", 100)
        dependency.is_down = True
        during = await write(broker, range(100, 400))
        await asyncio.sleep(OUTAGE_SECONDS)
        assert broker.values("p-out") != []
        dependency.is_down = False
        await until_committed(broker, "p.stage", 400)
    assert broker.values("p.stage.dlq") == []
    assert Counter(broker.values("p-out")) == Counter(before + during)
    # Each lane may call once, and retry what it had begun; then there are probes only.
    assert dependency.calls_while_down < 60
    assert stage.metrics[0].rebalances == 1


@in_virtual_time
async def test_order_within_a_key_is_kept_over_a_hold() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    stage = service(broker, one_stage(dependency.waiting, QUICK, concurrency=8))
    async with running(stage):
        await write(broker, range(200), keys=5)
        await asyncio.sleep(20)
        dependency.is_down = False
        await until_committed(broker, "p.stage", 200)
    written = [int(value or b"") for value in broker.values("p-out")]
    for key in range(5):
        of_key = [n for n in written if n % 5 == key]
        assert of_key == sorted(of_key)


@in_virtual_time
async def test_a_held_stage_is_told_and_not_ready_but_alive(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    stage = service(broker, one_stage(dependency.plain, QUICK))
    metrics = stage.metrics[0]
    async with running(stage):
        await write(broker, range(50))
        await until(lambda: metrics.held_since is not None)
        assert metrics.hold_kind is HoldKind.DEPENDENCY
        await asyncio.sleep(OUTAGE_SECONDS)
        now = loop().time()
        alive, ready = stage_health(metrics, now, 30.0), stage_readiness(metrics, now)
        assert alive.ok
        assert not ready.ok
        assert "in stage 'stage' one attempt after the other fails" in ready.reason
        assert "OSError" in ready.reason
        assert metrics.breaker_state.value != "closed"
        assert OUTAGE_SECONDS <= now - (metrics.breaker_opened_at or 0.0) < OUTAGE_SECONDS + 5
        assert metrics.probes > 2
        dependency.is_down = False
        await until_committed(broker, "p.stage", 50)
        assert metrics.held_since is None
        assert stage_readiness(metrics, loop().time()).ok
        assert metrics.breaker_state.value == "closed"
        assert metrics.breaker_opened_at is None
        assert metrics.holds == 1
    happened = metrics.occurrences.list()
    kinds = [one.kind.value for one in happened]
    assert kinds == ["started", "assigned", "held", "resumed", "ended"]
    assert "fails" in happened[2].told
    assert happened[2].at < happened[3].at
    assert re.search(r"stage stage of p goes on with its records after it held them", caplog.text)


@in_virtual_time
async def test_one_record_that_always_fails_is_told_from_an_outage() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.poison = frozenset([b"7"])
    stage = service(broker, one_stage(dependency.plain, QUICK))
    async with running(stage):
        await write(broker, range(100))
        await until_committed(broker, "p.stage", 100)
    assert broker.values("p.stage.dlq") == [b"7"]
    assert stage.metrics[0].holds == 0


@in_virtual_time
async def test_a_lone_record_waits_until_another_one_tells_whose_fault_it_is() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.poison = frozenset([b"0"])
    stage = service(broker, one_stage(dependency.plain, QUICK))
    async with running(stage):
        await write(broker, range(1))
        await asyncio.sleep(300)
        assert broker.values("p.stage.dlq") == []
        assert stage.metrics[0].retries == dependency.calls
        await write(broker, range(1, 2))
        await until_committed(broker, "p.stage", 2)
    assert broker.values("p.stage.dlq") == [b"0"]
    assert broker.values("p-out") == [b"1"]


@in_virtual_time
async def test_records_that_fail_for_reasons_of_their_own_become_dead_letters() -> None:
    broker, dependency = await broker_for("p"), Dependency(ValueError)
    dependency.poison = frozenset(b"%d" % n for n in range(300) if n % 3 == 0)
    stage = service(broker, one_stage(dependency.plain, QUICK))
    async with running(stage):
        await write(broker, range(300), keys=300)
        await until_committed(broker, "p.stage", 300)
    assert Counter(broker.values("p.stage.dlq")) == Counter(dependency.poison)
    assert len(broker.values("p-out")) == 200


@in_virtual_time
async def test_unknown_errors_of_most_keys_are_held_until_a_mended_version_starts() -> None:
    broker, broken, mended = await broker_for("p"), Dependency(ValueError), Dependency()
    broken.poison = frozenset(b"%d" % n for n in range(300) if n % 3)
    stage = service(broker, one_stage(broken.plain, QUICK))
    async with running(stage):
        texts = await write(broker, range(300), keys=300)
        await until(lambda: stage.metrics[0].held_since is not None)
        assert stage.metrics[0].hold_kind is HoldKind.FAILURES
        await asyncio.sleep(OUTAGE_SECONDS)
    assert broker.values("p.stage.dlq") == []
    async with running(service(broker, one_stage(mended.plain, QUICK))):
        await until_committed(broker, "p.stage", 300)
    assert broker.values("p.stage.dlq") == []
    assert Counter(broker.values("p-out")) == Counter(texts)


@pytest.mark.parametrize("policy", [skip(), drop()], ids=["skip", "drop"])
@in_virtual_time
async def test_what_the_user_lets_go_is_not_held(policy: Policy) -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    stage = service(broker, one_stage(dependency.plain, policy))
    async with running(stage):
        await write(broker, range(100))
        await until_committed(broker, "p.stage", 100)
    assert stage.metrics[0].holds == 0


@in_virtual_time
async def test_a_stage_that_is_to_stop_stops() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    await write(broker, range(10))
    with pytest.raises(StageStoppedError, match="its policy says stop"):
        await service(broker, one_stage(dependency.plain, stop())).run()


@in_virtual_time
async def test_a_policy_for_the_exception_comes_before_the_hold() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    policy = QUICK.on({OSError: dead_letter()})
    stage = service(broker, one_stage(dependency.plain, policy))
    async with running(stage):
        await write(broker, range(20))
        await until_committed(broker, "p.stage", 20)
    assert len(broker.values("p.stage.dlq")) == 20


@in_virtual_time
async def test_after_the_longest_hold_the_policy_decides() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    stage = service(broker, one_stage(dependency.plain, QUICK, max_hold_seconds=30))
    async with running(stage):
        await write(broker, range(20))
        await asyncio.sleep(25)
        assert broker.values("p.stage.dlq") == []
        await until_committed(broker, "p.stage", 20)
    assert len(broker.values("p.stage.dlq")) == 20


@in_virtual_time
async def test_after_the_longest_hold_the_stage_can_stop() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    await write(broker, range(20))
    topology = one_stage(dependency.plain, QUICK, max_hold_seconds=30, after_hold="stop")
    with pytest.raises(StageStoppedError, match="max_hold_seconds"):
        await service(broker, topology).run()
    assert broker.values("p.stage.dlq") == []
    assert 29 < loop().time() < 40


@in_virtual_time
async def test_more_dead_letters_than_the_budget_allows_are_held() -> None:
    broker, dependency = await broker_for("p"), Dependency(KeyError)
    dependency.poison = frozenset(b"%d" % n for n in range(1000))
    budget = DeadLetterBudget(share=0.1, minimum_records=50)
    topology = one_stage(dependency.plain, dead_letter(), breaker=None, dead_letter_budget=budget)
    stage = service(broker, topology)
    async with running(stage):
        await write(broker, range(1000))
        await asyncio.sleep(30)
        assert 40 < len(broker.values("p.stage.dlq")) < 60
        reason = stage.metrics[0].held_reason or ""
        assert stage.metrics[0].hold_kind is HoldKind.BUDGET
        assert re.search(
            r"more dead letters than its budget allows, with the next one \d+ of \d+ records"
            r" within 60 s, above 0\.1$",
            reason,
        ), reason
        dependency.poison = frozenset()
        await until_committed(broker, "p.stage", 1000)
    assert len(broker.values("p-out")) + len(broker.values("p.stage.dlq")) == 1000


@in_virtual_time
async def test_beyond_its_budget_a_stage_can_stop() -> None:
    broker, dependency = await broker_for("p"), Dependency(KeyError)
    dependency.poison = frozenset(b"%d" % n for n in range(1000))
    budget = DeadLetterBudget(share=0.1, minimum_records=50, then=BeyondBudget.STOP)
    topology = one_stage(dependency.plain, dead_letter(), breaker=None, dead_letter_budget=budget)
    await write(broker, range(1000))
    with pytest.raises(StageStoppedError, match="more dead letters than its budget"):
        await service(broker, topology).run()
    assert await broker.committed("p.stage") == len(broker.values("p.stage.dlq"))


@in_virtual_time
async def test_a_fused_stage_that_is_down_holds_the_segment() -> None:
    broker, dependency = await broker_for("p"), Dependency(Transient)
    dependency.is_down = True

    @agent
    def first(value: bytes) -> bytes:
        return value

    pipeline = Pipeline("p", source=Topic("p-in", bytes)).stage(first, name="stage")
    topology = build(
        pipeline.stage(dependency.plain, name="tail", fused=True, on_error=QUICK).sink("p-out")
    )
    await broker.admin().create_topics([TopicSpec("p.tail.dlq", 1)])
    stage = service(broker, topology)
    async with running(stage):
        await write(broker, range(100))
        await until(lambda: stage.metrics[0].held_since is not None)
        await asyncio.sleep(OUTAGE_SECONDS)
        assert "'tail'" in (stage.metrics[0].held_reason or "")
        dependency.is_down = False
        await until_committed(broker, "p.stage", 100)
    assert Counter(broker.values("p-out")) == Counter(b"%d" % n for n in range(100))


@in_virtual_time
async def test_a_success_at_the_first_step_tells_whose_fault_it_is_though_the_next_one_fails() -> (
    None
):
    broker, dependency = await broker_for("p"), Dependency()
    dependency.poison = frozenset([b"0"])

    @agent
    def tail(value: bytes) -> bytes:
        raise Permanent(f"no {len(value)}")

    pipeline = Pipeline("p", source=Topic("p-in", bytes)).stage(
        dependency.plain, name="stage", on_error=QUICK
    )
    topology = build(
        pipeline.stage(tail, name="tail", fused=True, on_error=dead_letter()).sink("p-out")
    )
    await broker.admin().create_topics([TopicSpec("p.tail.dlq", 1)])
    async with running(service(broker, topology)):
        await write(broker, range(1))
        await asyncio.sleep(300)
        assert broker.values("p.stage.dlq") == []
        await write(broker, range(1, 2))
        await until_committed(broker, "p.stage", 2)
    assert broker.values("p.stage.dlq") == [b"0"]
    assert broker.values("p.tail.dlq") == [b"1"]


@in_virtual_time
async def test_a_key_that_succeeds_often_is_one_key_beside_those_that_fail() -> None:
    broker, broken = await broker_for("p"), Dependency(LookupError)
    broken.poison = frozenset(b"%d" % n for n in range(40))
    stage = service(broker, one_stage(broken.plain, QUICK))
    async with running(stage):
        for first in range(0, 40, 4):
            bad = [(b"k%d" % n, b"%d" % n) for n in range(first, first + 4)]
            good = [(b"good", b"%d" % (100 + 10 * first + n)) for n in range(20)]
            await broker.write("p-in", *bad, *good)
        await asyncio.sleep(OUTAGE_SECONDS)
        assert stage.metrics[0].held_since is not None
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_a_stop_during_a_hold_commits_what_is_done_and_loses_nothing() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    stage = service(broker, one_stage(dependency.plain, QUICK))
    async with running(stage):
        await write(broker, range(100))
        await until_committed(broker, "p.stage", 100)
        dependency.is_down = True
        await write(broker, range(100, 200))
        await until(lambda: stage.metrics[0].held_since is not None)
        began = loop().time()
    assert loop().time() - began < 5
    assert await broker.committed("p.stage") == 100
    dependency.is_down = False
    async with running(service(broker, one_stage(dependency.plain, QUICK))):
        await until_committed(broker, "p.stage", 200)
    assert Counter(broker.values("p-out")) == Counter(b"%d" % n for n in range(200))


@in_virtual_time
async def test_a_rebalance_during_a_hold_loses_nothing() -> None:
    broker, dependency = await broker_for("p", partitions=4), Dependency()
    dependency.is_down = True
    topology = one_stage(dependency.waiting, QUICK)
    async with running(service(broker, topology)):
        for partition in range(4):
            pairs = [(b"k%d" % n, b"%d" % (1000 * partition + n)) for n in range(50)]
            await broker.write("p-in", *pairs, partition=partition)
        await asyncio.sleep(10)
        async with running(service(broker, topology)):
            await asyncio.sleep(20)
            dependency.is_down = False
            await until_committed(broker, "p.stage", 200)
    assert dependency.calls - dependency.calls_while_down == 200
    written = [value for n in range(4) for value in broker.values("p-out", n)]
    assert set(written) == {b"%d" % (1000 * p + n) for p in range(4) for n in range(50)}


@in_virtual_time
async def test_few_keys_that_always_fail_do_not_keep_the_others_waiting() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.poison = frozenset(b"%d" % n for n in range(0, 1000, 50))  # all of key 0
    patient = retry(10**6, backoff=Backoff(base_seconds=0.001, max_seconds=0.001))
    stage = service(broker, one_stage(dependency.plain, patient))
    async with running(stage):
        await write(broker, range(1000))
        await until(lambda: len(broker.values("p-out")) == 980)
        assert stage.metrics[0].holds == 0


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@in_virtual_time
async def test_a_stage_of_slow_successes_is_held_if_asked_to(*, is_async: bool) -> None:
    broker, seconds = await broker_for("p"), 5.0

    @agent
    def compute(value: bytes) -> bytes:
        loop().burn(seconds)
        return value

    @agent
    async def wait(value: bytes) -> bytes:
        await asyncio.sleep(seconds)
        return value

    breaker = BreakerConfig(slow_seconds=2, slow_rate=0.5, minimum_calls=10, window_seconds=300)
    topology = one_stage(wait if is_async else compute, QUICK, breaker=breaker, concurrency=4)
    stage = service(broker, topology)
    async with running(stage):
        await write(broker, range(100))
        await until(lambda: stage.metrics[0].held_since is not None, seconds=200)
        assert "the attempts are slow" in (stage.metrics[0].held_reason or "")
        seconds = 0.1
        await until_committed(broker, "p.stage", 100)
        assert stage.metrics[0].held_since is None
    assert len(broker.values("p-out")) == 100


@in_virtual_time
async def test_a_probe_that_is_cancelled_gives_its_place_back() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down, hangs = True, False

    @agent
    async def ask(value: bytes) -> bytes:
        if hangs:
            await asyncio.Event().wait()
        return dependency.call(value)

    topology = one_stage(ask, QUICK, timeout_seconds=100_000)
    stage = service(broker, topology)
    async with running(stage):
        await write(broker, range(50))
        await until(lambda: stage.metrics[0].held_since is not None)
        hangs, probes = True, stage.metrics[0].probes
        await until(lambda: stage.metrics[0].probes > probes, seconds=60)
        async with running(service(broker, topology)):  # the rebalance cancels the probe
            await asyncio.sleep(20)
        hangs = dependency.is_down = False
        await until_committed(broker, "p.stage", 50)
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_bounded_work_ends_although_its_only_record_fails_through_the_world() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    await write(broker, range(1))
    await service(broker, one_stage(dependency.plain, QUICK)).run(until_end=True)
    assert broker.values("p.stage.dlq") == [b"0"]


@in_virtual_time
async def test_failures_while_records_are_held_are_no_attempts() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    stage = service(broker, one_stage(dependency.plain, QUICK))
    async with running(stage):
        await write(broker, range(6))
        await until(lambda: stage.metrics[0].probes >= 10, seconds=300)
        dependency.is_down, dependency.error = False, KeyError
        dependency.poison = frozenset([b"0"])
        await until_committed(broker, "p.stage", 6)
    [letter] = broker.records("p.stage.dlq")
    assert error_headers(letter)["attempts"] == "4"
    assert dependency.calls - dependency.calls_while_down == 5 + 4


@in_virtual_time
async def test_a_stage_that_holds_reads_nothing_more_and_loses_nothing_that_it_has_read() -> None:
    broker, dependency = await broker_for("p"), Dependency()
    dependency.is_down = True
    stage = service(broker, one_stage(dependency.plain, QUICK))
    metrics = stage.metrics[0]
    async with running(stage):
        await write(broker, range(100))
        await until(lambda: metrics.held_since is not None)
        await write(broker, range(100, 200))  # a fetch that runs may bring these
        await asyncio.sleep(10)
        await write(broker, range(200, 1000))
        await asyncio.sleep(OUTAGE_SECONDS)
        assert metrics.records_in <= 200
        dependency.is_down = False
        await until_committed(broker, "p.stage", 1000)
    assert Counter(broker.values("p-out")) == Counter(b"%d" % n for n in range(1000))
