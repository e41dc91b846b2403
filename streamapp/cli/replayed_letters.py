"""Sends dead letters back to their stages, for `streamapp dlq replay`."""

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import typer

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin
from streamapp.cli.asked_letters import Asked
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.kafka import started_admin
from streamapp.cli.letters_progress import OnDone, progress_bar
from streamapp.cli.signals import stop_on_signal
from streamapp.clock import SystemClock
from streamapp.configuration.printable import printable
from streamapp.dead_letter_tools.fates import Fate, Sorting
from streamapp.dead_letter_tools.outcome import Outcome, outcome_of
from streamapp.dead_letter_tools.preview import Preview, Previewer
from streamapp.dead_letter_tools.reading import ends_of, ends_of_letters, read_ledger
from streamapp.dead_letter_tools.sending import LedgerWriter, Sender, Sent
from streamapp.dead_letter_tools.targets import Target, Targets
from streamapp.observability.logs import configure_logging
from streamapp.record import TopicPartition

_STOPPING = "Stopping: what was sent stands in the ledger, and another call goes on behind it"
_MOST_REASONS = 10
"""So many kinds of failures of a stage are told."""

_NOT_SENT = (
    (Fate.REPLAYED, "were replayed before"),
    (Fate.DISCARDED, "were discarded before"),
    (Fate.QUARANTINED, "are in quarantine: raise --max-replays to send them again"),
    (Fate.QUARANTINE, "were sent back too often (--max-replays) and go into quarantine"),
    (
        Fate.READ_OTHERWISE,
        "are of stages whose topics Faust reads, and no replay topic: export them to the source",
    ),
    (Fate.NO_STAGE, "are of no stage of these pipelines"),
)

Ends = Mapping[str, Mapping[TopicPartition, int]]


@dataclass(frozen=True, slots=True)
class Sending:
    """How letters are sent.

    Attributes:
        to_stage: to which stage all of them go; `None` for the one that each of them names.
        tries: whether the preview calls agents.
        per_second: letters a second; `None` for as many as can be sent.
        limit: most letters; `None` for all.
        max_replays: a letter that was sent back so often is quarantined.
        wait_seconds: how long the stages are waited for; `None` for not at all.
    """

    to_stage: str | None
    tries: bool
    per_second: float | None
    limit: int | None
    max_replays: int
    wait_seconds: float | None


def replay_letters(asked: Asked, sending: Sending, *, yes: bool) -> None:
    """Tell what would be sent, and send it if that is said."""
    configure_logging("WARNING")
    asyncio.run(_Replay(asked, sending).run(yes=yes))


class _Replay:
    """One replay of dead letters."""

    def __init__(self, asked: Asked, sending: Sending) -> None:
        targets = Targets(asked.topologies, sending.to_stage)
        self._asked = asked
        self._sending = sending
        self._targets = targets
        self._sorting = Sorting(asked.selection(), targets, sending.max_replays)
        self._broker: KafkaBroker = asked.broker()
        self._clock = SystemClock()
        self._id = uuid.uuid4().hex[:12]
        self._sender: Sender | None = None
        self._is_stopping = False

    async def run(self, *, yes: bool) -> None:
        async with started_admin(self._broker) as admin:
            topics = await self._asked.dead_letter_topics(admin)
            ends = {topic: await ends_of_letters(admin, topic) for topic in topics}
            preview = await self._preview(admin, ends)
            for line in preview_lines(preview, tried=self._sending.tries):
                typer.echo(printable(line))
            if not preview.fates[Fate.SEND] and not preview.fates[Fate.QUARANTINE]:
                return
            if not yes:
                typer.echo("Nothing was sent; --yes sends them.")
                return
            since = await self._ends_of_dead_letters(admin)
            sent = await self._send(admin, ends, preview.fates[Fate.SEND])
            if sent.sent and self._sending.wait_seconds is not None:
                await self._wait(admin, sent, since, self._sending.wait_seconds)

    async def _preview(self, admin: Admin, ends: Ends) -> Preview:
        sending = self._sending
        places = [place for own in ends.values() for place in own]
        beginnings = await admin.beginning_offsets(places)
        total = sum(sum(own.values()) for own in ends.values()) - sum(beginnings.values())
        with progress_bar("looking", total) as advance:
            previewer = Previewer(
                self._sorting, tries=sending.tries, limit=sending.limit, on_looked=advance
            )
            for topic, own in ends.items():
                ledger = await read_ledger(self._broker, admin, topic)
                await previewer.look(self._broker, ledger, own)
        return previewer.result

    async def _send(self, admin: Admin, ends: Ends, expected: int) -> Sent:
        """Send the letters of each topic in turn; a signal ends it behind a transaction."""
        sent = Sent()
        with (
            progress_bar("sending", expected) as advance,
            stop_on_signal(self._stop, message=_STOPPING),
        ):
            for topic, own in ends.items():
                if self._is_stopping:
                    break
                result = await self._send_of(admin, topic, own, sent, advance)
                sent.sent.update(result.sent)
                sent.fates.update(result.fates)
                sent.ends.update(result.ends)
        for target, count in sent.sent.items():
            typer.echo(f"Sent {count:,} to {target.topic}, replay {self._id}.")
        if quarantined := sent.fates[Fate.QUARANTINE]:
            typer.echo(f"Put {quarantined:,} into quarantine.")
        return sent

    async def _send_of(
        self,
        admin: Admin,
        topic: str,
        ends: Mapping[TopicPartition, int],
        before: Sent,
        advance: OnDone,
    ) -> Sent:
        limit = self._sending.limit
        writer = LedgerWriter(self._broker, admin, topic)
        try:
            await writer.start()
            sender = self._sender = Sender(
                writer,
                admin,
                self._sorting,
                self._id,
                self._clock,
                per_second=self._sending.per_second,
                limit=None if limit is None else limit - before.sent.total(),
                on_sent=advance,
            )
            return await sender.send(self._broker, ends)
        finally:
            await writer.stop()

    def _stop(self) -> None:
        self._is_stopping = True
        if self._sender is not None:
            self._sender.stop()

    async def _wait(
        self,
        admin: Admin,
        sent: Sent,
        since: Mapping[TopicPartition, int],
        seconds: float,
    ) -> None:
        left_before = sent.sent.total()
        with progress_bar("waiting for the stages", left_before) as advance:

            def on_left(left: int) -> None:
                nonlocal left_before
                advance(max(0, left_before - left))
                left_before = min(left, left_before)

            outcome = await outcome_of(
                self._broker,
                admin,
                self._clock,
                list(sent.sent),
                self._id,
                since,
                sent=sent.ends,
                seconds=seconds,
                on_left=on_left,
            )
        for line in outcome_lines(outcome, sent.sent):
            typer.echo(printable(line))
        if outcome.left:
            raise typer.Exit(ExitCode.FAILURE)

    async def _ends_of_dead_letters(self, admin: Admin) -> Mapping[TopicPartition, int]:
        names = sorted({target.dead_letters for target in self._targets.all})
        return await ends_of(admin, await admin.partition_counts(names))


def preview_lines(preview: Preview, *, tried: bool) -> Iterator[str]:
    """What sending would do, for people.

    Args:
        preview: what was found.
        tried: whether agents were called.
    """
    yield f"Would send {preview.fates[Fate.SEND]:,} dead letters."
    passed = "pass its agent now" if tried else "can be read now; its agent was not called (--try)"
    for target, stage in preview.stages.items():
        yield f"  {target.name}: {stage.sent:,} letters, of which {stage.passed:,} {passed}"
        refused = sorted(stage.refused.items(), key=lambda one: -one[1].count)
        for kind, one in refused[:_MOST_REASONS]:
            yield (
                f"    {one.count:,} fail ({kind}), such as {one.sample}: {one.error}: {one.message}"
            )
        if len(refused) > _MOST_REASONS:
            yield f"    and {len(refused) - _MOST_REASONS} other kinds of failures"
    for fate, told in _NOT_SENT:
        if count := preview.fates[fate]:
            yield f"  {count:,} {told}"
    for (pipeline, name), count in preview.stages_unknown.items():
        of = ".".join(filter(None, (pipeline, name))) or "nobody that says so"
        yield f"    {count:,} of {of}; --to-stage says where they go"


def outcome_lines(outcome: Outcome, sent: Mapping[Target, int]) -> Iterator[str]:
    """What has become of letters that were sent, for people."""
    failed = sum(group.count for group in outcome.failed)
    total = sum(sent.values())
    if outcome.left:
        yield (
            f"{outcome.left:,} are not finished: do workers run these stages? They begin to read a"
            " new replay topic within half a minute."
        )
    else:
        yield f"The stages have finished all {total:,}: {failed:,} have failed again."
    for group in outcome.failed:
        told = group.sample.told
        yield (
            f"  {group.count:,} {told.reason} ({told.fingerprint}), such as"
            f" {group.sample.address}: {told.error}: {told.message}"
        )
    if any(target.step.retry_topics for target in sent):
        yield "  What is retried later is not counted among these before it has failed for good."
