"""A stage that is fused to another, or is so no more, goes on in its retry and replay topics."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from streamapp.errors import RenamedStageError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.policy import retry_later
from streamapp.service import Service
from tests.contract.conftest import memory_subject
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.contract.pipelines import QUICK, Item, Rig, eventually
from tests.contract.test_runtime_replay import make_replay_topic, send_back
from tests.kafka import unique_name
from tests.patience import within

APART, FUSED, BUNDLED, BOTH = "apart", "fused", "bundled", "fused and bundled"
SECOND = "moody"


@agent
async def first(item: Item) -> Item:
    return item


class Fusing:
    """A pipeline whose second stage reads with a group of its own, the first's, or a bundle's.

    Attributes:
        attempts: of the second stage, by number.
        bad: numbers that it gives up; the others fail once, and are retried later.
    """

    def __init__(self, subject: Subject) -> None:
        self.rig = Rig(subject, unique_name("fusing"))
        self.attempts: Counter[int] = Counter()
        self.bad: set[int] = set()
        self.letters = 0

    async def moody(self, item: Item) -> Item:
        self.attempts[item.n] += 1
        if item.n in self.bad or self.attempts[item.n] == 1:
            raise ValueError("not now")
        return item

    def pipeline(self, form: str) -> Pipeline[Any, Any]:
        second = agent(self.moody)
        made = self.rig.pipeline().stage(first)
        policy = retry_later([0.1])
        return made.stage(second, name=SECOND, fused=form in (FUSED, BOTH), on_error=policy).sink(
            self.rig.out
        )

    def service(self, form: str) -> Service:
        topologies: list[Topology] = [build(self.pipeline(form))]
        if form in (BUNDLED, BOTH):
            bundle = Bundle(f"{self.rig.name}-bundle", [self.pipeline(form)])
            topologies = list(build_bundle(bundle))
        return Service(self.rig.subject.broker, topologies, config=QUICK)

    async def run(self, form: str) -> None:
        async with within(PATIENCE_SECONDS, "the end of bounded work"):
            await self.service(form).run(until_end=True)

    async def new_letters(self) -> list[Any]:
        """Dead letters since the last call."""
        letters = await self.rig.read(self.rig.dead_letters(SECOND))
        known, self.letters = self.letters, len(letters)
        return sorted(letters, key=lambda letter: letter.timestamp)[known:]


@pytest.fixture
async def fusing(subject: Subject) -> Fusing:
    return await made_on(subject)


async def made_on(subject: Subject) -> Fusing:
    made = Fusing(subject)
    await made.rig.create(made.pipeline(APART), partitions=1)
    return made


async def work_through(fusing: Fusing, forms: tuple[str, ...]) -> None:
    """In each form, retry a record later, give two up, and send back one before the next form."""
    replays = await make_replay_topic(fusing.rig, SECOND)
    for i, form in enumerate(forms):
        retried, given_up, sent_late = 3 * i, 3 * i + 1, 3 * i + 2
        fusing.bad = {given_up, sent_late}
        await fusing.rig.put_items([retried, given_up, sent_late])
        await fusing.run(form)
        fusing.bad = set()
        at_once, late = await fusing.new_letters()
        await send_back(fusing.rig, replays, [at_once])
        await fusing.run(form)
        await send_back(fusing.rig, replays, [late])
    await fusing.run(forms[-1])


@pytest.mark.parametrize("seed", range(12))
async def test_what_was_read_in_one_form_runs_once_and_what_was_not_is_read_in_the_next(
    seed: int,
) -> None:
    forms = tuple(Random(seed).choices((APART, FUSED, BUNDLED, BOTH), k=6))
    fusing = await made_on(memory_subject())
    await work_through(fusing, forms)
    numbers = list(range(3 * len(forms)))
    assert sorted(await fusing.rig.read_numbers(fusing.rig.out)) == numbers
    assert fusing.attempts == {n: 2 if n % 3 == 0 else 3 for n in numbers}


async def test_a_real_broker_keeps_the_positions_and_their_marks(fusing: Fusing) -> None:
    forms = (FUSED, APART, FUSED)
    await work_through(fusing, forms)
    assert sorted(await fusing.rig.read_numbers(fusing.rig.out)) == list(range(3 * len(forms)))


async def test_a_stage_is_not_fused_while_workers_read_its_topics_by_itself(
    fusing: Fusing,
) -> None:
    fusing.attempts[1] = 1  # does not fail
    fusing.bad = {0}
    await fusing.rig.put_items([0, 1])
    await fusing.run(APART)
    async with fusing.rig.running(fusing.pipeline(APART)) as apart:
        await eventually(lambda: apart.metrics[1].rebalances)
        with pytest.raises(RenamedStageError, match="workers still read"):
            await fusing.run(FUSED)
    await fusing.run(FUSED)
