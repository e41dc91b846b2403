"""Intake takes no records while anything holds it, and each reason is lifted by itself."""

from itertools import permutations

import pytest

from streamapp.brokers.protocols import ConsumerConfig
from streamapp.clock import SystemClock
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.stage import StageConfig
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.intake import Halt, Intake
from streamapp.runtime.partition import Partition, Phase
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.refusals import Refusals
from tests.unit.runtime.test_faults import Listening, broker_for

PLACE = TopicPartition("a-in", 0)


async def intake_with_a_partition() -> tuple[Intake, Assignment]:
    broker = await broker_for("a")
    consumer = broker.consumer(ConsumerConfig("g", ("a-in",)), Listening())
    assignment = Assignment(consumer, StageMetrics("a", "stage", "a-in"))
    assignment.partitions[PLACE] = Partition(PLACE)
    return Intake(
        assignment, StageConfig(), SystemClock(), ReadyQueue(), Refusals((), SystemClock(), "g")
    ), assignment


@pytest.mark.parametrize(("first", "second"), list(permutations(Halt, 2)))
async def test_a_halt_holds_until_it_is_lifted_itself(first: Halt, second: Halt) -> None:
    intake, _ = await intake_with_a_partition()
    intake.halt(first)
    intake.halt(second)
    intake.lift(first)
    assert intake._demand()[0] == ()
    intake.lift(second)
    assert intake._demand()[0] == [PLACE]


@pytest.mark.parametrize("phase", [Phase.OPENING, Phase.SUSPENDED])
async def test_only_open_partitions_are_read(phase: Phase) -> None:
    intake, assignment = await intake_with_a_partition()
    assignment.partitions[PLACE].phase = phase
    assert intake._demand()[0] == []


async def test_a_replay_does_not_open_a_partition_that_is_still_opening() -> None:
    _, assignment = await intake_with_a_partition()
    assignment.partitions[PLACE].phase = Phase.OPENING
    assignment.suspend()
    assignment.resume({})
    assert assignment.partitions[PLACE].phase is Phase.OPENING
