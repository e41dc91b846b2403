"""One execution: data on their way through the stages, in this process.

It decides about failures by the same rules as the runtime (`policies.decision`), and what leaves a
stage reaches the next one as through a topic. What is different is what follows of a decision:
there is nothing to commit, so a retry waits here, and a dead letter goes into the result.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

from streamapp.clock import Clock
from streamapp.observability.stage_metrics import DeadLetterReason, Outcome
from streamapp.pipeline.context import Context
from streamapp.pipeline.contexts import Contexts
from streamapp.pipeline.execution.account import Account, GivenValue
from streamapp.pipeline.execution.results import ExecutionDeadLetter, ExecutionResult
from streamapp.pipeline.execution.step import ExecutionStep, GivenRecord, Item, Made
from streamapp.pipeline.trail import with_header
from streamapp.policies.decision import decide
from streamapp.policies.gravest import NOT_OF_THE_AGENT, as_failure, gravest
from streamapp.policies.policy import ErrorPolicy
from streamapp.record import without_error_headers
from streamapp.status import PipelineStatus

Ended: TypeAlias = Made | ExecutionDeadLetter
"""What a stage has made of a value: an output, or a dead letter."""


class StoppedError(Exception):
    """The policy of a stage said stop; the execution catches this."""


class Execution:
    """Runs data through the stages of a pipeline.

    Values are worked on one after the other: of what one stage gives, and stage after stage.

    Args:
        pipeline_id: name of the pipeline.
        steps: its stages.
        context: what the caller gave; status, history and errors are written to it.
        clock: the time, and the waits between attempts.
        rng: how long these are.
        contexts: run this, so that no attempt sees the variables that another has set.
    """

    def __init__(
        self,
        pipeline_id: str,
        steps: Sequence[ExecutionStep],
        context: Context,
        clock: Clock,
        rng: random.Random,
        contexts: Contexts,
    ) -> None:
        self._steps = steps
        self._clock = clock
        self._rng = rng
        self._contexts = contexts
        stages = [step.stage_id for step in steps]
        self._account = Account(pipeline_id, stages, context, clock, steps[0].collectors)

    async def run(self, first: Item, timestamp: int) -> ExecutionResult[Any]:
        """Run one value to its end; its failures are in the result.

        Args:
            first: what the first stage is given.
            timestamp: of the event, in milliseconds since the epoch; -1 if it is not known.

        Raises:
            asyncio.CancelledError: this was cancelled.
        """
        account, status, duration = self._account, PipelineStatus.FAILED, 0.0
        try:
            await self._run_all(first, timestamp)
            if account.error is None:
                status = PipelineStatus.SUCCESS
        except asyncio.CancelledError:
            status = PipelineStatus.CANCELLED
            raise
        finally:
            duration = account.end(status)
        return account.result(status, duration)

    def refuse(self, error: Exception) -> ExecutionResult[Any]:
        """The result where the first stage could not even be given the data."""
        self._account.refuse(self._steps[0], error)
        return self._account.result(PipelineStatus.FAILED, self._account.end(PipelineStatus.FAILED))

    async def _run_all(self, first: Item, timestamp: int) -> None:
        """Run a value, and what the stages make of it, stage after stage."""
        waiting = deque([first])
        try:
            while waiting:
                item = waiting.popleft()
                record = GivenRecord(item, self._steps[item.step].handover, timestamp)
                for one in await self._run_segment(item, record):
                    if isinstance(one, Item):
                        waiting.append(one)
                    else:
                        self._account.leave(one)
        except StoppedError:
            return

    async def _run_segment(self, item: Item, record: GivenRecord) -> list[Ended]:
        """Run a value through fused stages; what they made leaves them when all of it is done."""
        done: list[Ended] = []
        pending = [item]
        held_bytes = 0
        while pending:
            item = pending.pop()
            already = len(done) + len(pending), held_bytes
            value = GivenValue(item, record, already, self._clock.monotonic())
            fused: list[Item] = []
            for one in await self._run_stage(self._steps[item.step], value):
                held_bytes += one.size
                if isinstance(one, Item) and self._steps[one.step].is_fused:
                    fused.append(one)
                else:
                    done.append(one)
            pending += reversed(fused)
        return done

    async def _run_stage(self, step: ExecutionStep, value: GivenValue) -> Sequence[Ended]:
        """Make attempts on a value until it is done.

        Raises:
            StoppedError: the policy says stop.
        """
        self._account.begin_stage(step)
        while True:
            try:
                return await self._attempt(step, value)
            except (asyncio.CancelledError, *NOT_OF_THE_AGENT):
                self._account.interrupted(step, value)
                raise
            except BaseException as raised:  # noqa: BLE001 - an agent may raise anything
                error = gravest(as_failure(raised), step.policy)
            ended = await self._handle(step, value, error)
            if ended is not None:
                return ended

    async def _attempt(self, step: ExecutionStep, value: GivenValue) -> Sequence[Made]:
        if self._contexts.is_used():
            await self._contexts.renew()
        item, context = value.item, None
        if step.agent.takes_context:
            context = step.context(item, value.record, value.failures + 1, value.kept)
        result = step.call(item, context)
        if step.agent.is_async:
            result = await step.in_time(result)
        outputs = step.agent.outputs(result, value.already[0])
        outcome = Outcome.PROCESSED if outputs else Outcome.FILTERED
        entry = self._account.entry(step, value, outcome, value.failures + 1)
        trail = value.kept if context is None or context.trail is None else context.trail
        header = step.audit.header_of_output(trail, item.headers, entry, value.failures)
        made = step.accept(item, outputs, header)
        step.check_bytes(value.already[1] + sum(one.size for one in made))
        if trail is not None:
            self._account.add_metadata(trail)
        self._account.gave(step, value, made, entry)
        return made

    async def _handle(
        self, step: ExecutionStep, value: GivenValue, error: Exception
    ) -> Sequence[Ended] | None:
        """Do what the policy says of a failed attempt; `None` after the wait for another one.

        Raises:
            StoppedError: the policy says stop.
        """
        account = self._account
        value.failures += 1
        value.kept = step.audit.add_failure(value.kept, value.item.headers, error)
        account.attempt_failed(step, error)
        failures, used = value.failures - value.failures_before, value.delays_used
        decision = decide(step.policy, error, failures, self._rng, delays_used=used)
        match decision.action:
            case ErrorPolicy.RETRY_LATER:  # there is no topic: it waits here as long
                value.failures_before, value.delays_used = value.failures, used + 1
                await self._clock.sleep(decision.delay_seconds)
                return None
            case ErrorPolicy.RETRY:
                await self._clock.sleep(decision.delay_seconds)
                return None
            case ErrorPolicy.SKIP:
                return [self._skip(step, value, error)]
            case ErrorPolicy.DROP:
                dropped = account.entry(step, value, Outcome.DROPPED, value.failures)
                account.failed(step, value, error, dropped)
                return ()
            case ErrorPolicy.DEAD_LETTER:
                return [self._dead_letter(step, value, error, decision.reason)]
            case ErrorPolicy.STOP:
                stopped = account.entry(step, value, PipelineStatus.FAILED, value.failures)
                account.failed(step, value, error, stopped)
                raise StoppedError

    def _skip(self, step: ExecutionStep, value: GivenValue, error: Exception) -> Ended:
        entry = self._account.entry(step, value, Outcome.SKIPPED, value.failures)
        headers = value.item.headers
        try:
            header = step.audit.header_of_output(value.kept, headers, entry, value.failures)
            passed_on = step.pass_on(value.item, header)
        except Exception as refused:  # noqa: BLE001 - a user's serialiser may raise anything
            return self._dead_letter(step, value, refused, DeadLetterReason.OUTPUT)
        self._account.failed(step, value, error, entry)
        self._account.shows(step, [passed_on])
        return passed_on

    def _dead_letter(
        self, step: ExecutionStep, value: GivenValue, error: Exception, reason: DeadLetterReason
    ) -> ExecutionDeadLetter:
        item, record = value.item, value.record
        key, headers = item.key, item.headers
        try:
            data = step.handover.packed_bytes(item.packed)
        except Exception:  # noqa: BLE001 - encoding may run code of the user
            key, data, headers = record.key, record.value, record.headers
        entry = self._account.entry(step, value, Outcome.DEAD_LETTERED, value.failures)
        header = step.audit.header_of_letter(value.kept, headers, entry, error)
        return ExecutionDeadLetter(
            stage_id=step.stage_id,
            topic=step.dead_letters,
            reason=reason,
            error=self._account.failed(step, value, error, entry),
            attempts=value.failures,
            value=data,
            key=key,
            headers=with_header(without_error_headers(headers), header),
        )
