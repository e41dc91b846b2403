"""Sends dead letters back to their stages, for `streamapp dlq replay`."""

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace

import typer

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import Admin
from streamapp.cli.asked_letters import Asked
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.kafka import started_admin
from streamapp.cli.letters_progress import OnDone, progress_bar
from streamapp.cli.replay_text import outcome_lines, preview_lines, sent_lines
from streamapp.cli.sending_options import SendingOptions
from streamapp.cli.signals import stop_on_signal
from streamapp.clock import SystemClock
from streamapp.configuration.printable import printable
from streamapp.dead_letter_tools.fates import Fate, Sorting
from streamapp.dead_letter_tools.outcome import outcome_of
from streamapp.dead_letter_tools.preview import Preview, Previewer
from streamapp.dead_letter_tools.reading import ends_of, ends_of_letters, read_ledger
from streamapp.dead_letter_tools.sending import LedgerWriter, Sender, Sent
from streamapp.dead_letter_tools.sent_before import sent_before
from streamapp.dead_letter_tools.targets import Targets
from streamapp.observability.logs import configure_logging
from streamapp.record import TopicPartition

_STOPPING = "Stopping: what was sent stands in the ledger, and another call goes on behind it"
_NOT_WAITING = "Stopping to wait: the stages go on with what was sent"

Ends = Mapping[str, Mapping[TopicPartition, int]]


def replay_letters(asked: Asked, sending: SendingOptions, *, yes: bool) -> None:
    """Tell what would be sent, and send it if that is said."""
    configure_logging("WARNING")
    asyncio.run(_Replay(asked, sending).run(yes=yes))


class _Replay:
    """One replay of dead letters."""

    def __init__(self, asked: Asked, sending: SendingOptions) -> None:
        targets = Targets(asked.topologies, sending.to_stage)
        self._asked = asked
        self._sending = sending
        self._targets = targets
        self._sorting = Sorting(
            asked.selection(), targets, sending.max_replays, frozenset(sending.again or ())
        )
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
            sending = self._sending
            _say(preview_lines(preview, tried=sending.tries, show_payload=sending.show_payload))
            if not yes:
                if preview.touched:
                    typer.echo("Nothing was sent; --yes sends them.")
                return
            only = None if sending.limit is None else preview.first
            self._sorting = replace(self._sorting, failing=preview.failing, only=only)
            since = await self._ends_of_dead_letters(admin)
            sent = await self._send(
                admin, {topic: ends[topic] for topic in topics if topic in preview.touched}, preview
            )
            code = ExitCode.LETTERS_INTERRUPTED if self._is_stopping else _code_of(preview, sent)
            if sent.sent and sending.wait is not None and not self._is_stopping:
                waited = await self._wait(admin, sent, since, sending.wait)
                code = waited if code is ExitCode.OK else code
            if code is not ExitCode.OK:
                raise typer.Exit(code)

    async def _preview(self, admin: Admin, ends: Ends) -> Preview:
        sending = self._sending
        places = [place for own in ends.values() for place in own]
        beginnings = await admin.beginning_offsets(places)
        total = sum(sum(own.values()) for own in ends.values()) - sum(beginnings.values())
        known = await sent_before(self._broker, admin, self._targets.all)
        self._sorting = replace(self._sorting, sent_before=known)
        with progress_bar("looking", total) as advance:
            previewer = Previewer(
                self._sorting,
                tries=sending.tries,
                sends_failing=sending.even_failing,
                limit=sending.limit,
                on_looked=advance,
            )
            for topic, own in ends.items():
                ledger = await read_ledger(self._broker, admin, topic)
                await previewer.look(self._broker, ledger, own)
        return previewer.result

    async def _send(self, admin: Admin, ends: Ends, preview: Preview) -> Sent:
        """Send the letters of each topic in turn; a signal ends it behind a transaction."""
        sent = Sent()
        with (
            progress_bar("sending", preview.fates[Fate.SEND]) as advance,
            stop_on_signal(self._stop, message=_STOPPING),
        ):
            for topic, own in ends.items():
                if self._is_stopping:
                    break
                await self._send_of(admin, topic, own, sent, advance)
        _say(sent_lines(sent, self._id))
        return sent

    async def _send_of(
        self,
        admin: Admin,
        topic: str,
        ends: Mapping[TopicPartition, int],
        sent: Sent,
        advance: OnDone,
    ) -> None:
        writer = LedgerWriter(self._broker, admin, topic)
        try:
            await writer.start()
            sender = self._sender = Sender(
                writer,
                admin,
                self._sorting,
                self._id,
                self._clock,
                per_second=self._sending.rate,
                limit=self._sending.limit,
                on_sent=advance,
                result=sent,
            )
            await sender.send(self._broker, ends)
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
    ) -> ExitCode:
        left_before = sent.sent.total()
        with (
            progress_bar("waiting for the stages", left_before) as advance,
            stop_on_signal(self._stop, message=_NOT_WAITING),
        ):

            def on_left(left: int) -> None:
                nonlocal left_before
                advance(max(0, left_before - left))
                left_before = min(left, left_before)

            outcome = await outcome_of(
                self._broker,
                admin,
                self._clock,
                sent,
                self._id,
                since,
                seconds=seconds,
                on_left=on_left,
                is_stopping=lambda: self._is_stopping,
            )
        _say(outcome_lines(outcome, sent, show_payload=self._sending.show_payload))
        if self._is_stopping:
            return ExitCode.LETTERS_INTERRUPTED
        if outcome.failed:
            return ExitCode.LETTERS_LEFT
        return ExitCode.LETTERS_WAITING if outcome.left else ExitCode.OK

    async def _ends_of_dead_letters(self, admin: Admin) -> Mapping[TopicPartition, int]:
        names = sorted({target.dead_letters for target in self._targets.all})
        return await ends_of(admin, await admin.partition_counts(names))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(printable(line))


def _code_of(preview: Preview, sent: Sent) -> ExitCode:
    """How a replay ends that was not interrupted, before it is known what becomes of letters."""
    unreadable = preview.unreadable or sent.unreadable
    is_left = unreadable or sent.unsendable.told() or preview.fates[Fate.SENT_BEFORE]
    return ExitCode.LETTERS_LEFT if is_left else ExitCode.OK
