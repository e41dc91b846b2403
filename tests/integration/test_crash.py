"""Workers that die, leave and join in the middle of work, on a real Kafka.

What became of every record is checked by tests/verifier, which shares nothing with the runtime.
"""

import asyncio
import logging
from pathlib import Path

import pytest

from tests.kafka import Kafka
from tests.playback import Playback
from tests.verifier.__main__ import report
from tests.verifier.checks import Terms, Violation

RECORDS = 100_000
PARTITIONS = 5
KILLS = 3
REBALANCE_RECORDS = 100_000
SENDS = 500  # they take longer than workers take to leave and join
MUTANT_RECORDS = 50_000
STEP = 0.2
"""Share of the records that the last stage commits between two faults, at least."""

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.timeout(600), pytest.mark.faults]


async def test_three_kills_lose_nothing_and_repeat_only_what_was_uncommitted(
    kafka: Kafka, tmp_path: Path
) -> None:
    async with Playback.on(kafka, tmp_path, partitions=PARTITIONS) as playback:
        await playback.load(RECORDS)
        reached = uncommitted = 0

        for _ in range(KILLS):
            async with playback.worker() as worker:
                await playback.reach(reached + int(STEP * RECORDS), worker)
                await worker.kill()
            at_kill = await playback.settled()
            assert at_kill.lag > 0, "the work was done before the kill"
            assert at_kill.uncommitted >= uncommitted
            log.info(
                "killed: %d of %d records committed by the last stage, %d inputs left in all"
                " stages, %d outputs not committed",
                at_kill.committed["route"],
                RECORDS,
                at_kill.lag,
                at_kill.uncommitted - uncommitted,
            )
            reached, uncommitted = at_kill.committed["route"], at_kill.uncommitted
        async with playback.worker("--until-end") as worker:
            await worker.ended()

        done = await playback.progress()
        findings = await playback.verify(Terms(max_duplicates=uncommitted, min_sent=RECORDS))
        assert done.lag == 0
        assert uncommitted > 0, "nothing was in flight at any kill"
        assert findings.ok, findings
        assert findings.duplicates == uncommitted
        log.info("\n%s", "\n".join(report(findings)))


async def test_workers_that_leave_and_join_in_good_order_repeat_nothing(
    kafka: Kafka, tmp_path: Path
) -> None:
    async with Playback.on(kafka, tmp_path, partitions=PARTITIONS) as playback:
        events = playback.draw(REBALANCE_RECORDS)
        step = int(STEP * REBALANCE_RECORDS)

        async with playback.worker() as leaving, playback.worker() as staying:
            await playback.joined("validate", 2, leaving, staying)
            sending = asyncio.create_task(playback.send_little_by_little(events, times=SENDS))
            await playback.reach(step, leaving, staying)
            await leaving.terminate()
            was_left_at_work = not sending.done()
            async with playback.worker() as joining:
                await playback.joined("route", 2, staying, joining)
                was_joined_at_work = not sending.done()
                await sending
                await playback.drained(staying, joining)
                await joining.terminate()
                await staying.terminate()

        assert was_left_at_work, "the work was done before the worker left"
        assert was_joined_at_work, "the work was done before the other joined"
        findings = await playback.verify(Terms(min_sent=REBALANCE_RECORDS))
        assert findings.ok, findings


async def test_a_worker_that_commits_too_early_is_found_out(kafka: Kafka, tmp_path: Path) -> None:
    async with Playback.on(kafka, tmp_path, partitions=PARTITIONS) as playback:
        await playback.load(MUTANT_RECORDS)

        async with playback.process(
            "-m", "tests.integration.mutant_worker", kafka.bootstrap_servers
        ) as mutant:
            await playback.reach(int(STEP * MUTANT_RECORDS), mutant)
            await mutant.kill()
        at_kill = await playback.settled()
        async with playback.worker("--until-end") as worker:
            await worker.ended()

        assert at_kill.lag > 0, "the work was done before the kill"
        findings = await playback.verify(Terms(max_duplicates=MUTANT_RECORDS))
        assert findings.counts[Violation.LOST] > 0, findings
        # The same bug: an output can be written when its alert is not. Nothing else may be wrong.
        assert set(findings.counts) <= {Violation.LOST, Violation.ALERTS}, findings
