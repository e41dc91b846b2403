"""The outbox: the one place where outputs and dead letters leave a segment.

Outputs are appended to one batch for each output partition; the batches that are open at one time
make a flush, and a flush is sent whole. When all its batches are acknowledged, the records it was
made of are finished. A record whose outputs go to several topics needs no counting of its own. Only
when a batch fails, it is looked up which records of its flush have all their outputs in others.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from streamapp.brokers.protocols import BatchBuilder
from streamapp.errors import BatchRefusedError, BrokerError, StreamappError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.runtime.acknowledged import Finished, finished_in, suspects_of
from streamapp.runtime.config import Environment
from streamapp.runtime.flush import Flush, Place
from streamapp.runtime.partition import Partition
from streamapp.runtime.producer import ANSWER_TIMEOUT_SECONDS
from streamapp.runtime.refusals import Refusals
from streamapp.runtime.work import Work

MAX_UNACKNOWLEDGED_FLUSHES = 2
"""One is on the wire and one waits behind it; more would only make batches smaller."""


class Outbox:
    """Collects outputs, sends them in whole batches, and says when their records are finished.

    A flush is sent when it holds `max_records`, when so many bytes are in it that others could
    not be in flight beside it, when it is `linger_seconds` old, or as soon as the lanes have run
    dry: small under light load, full under heavy load.

    Attributes:
        open: the flush that takes outputs now; `None` until there are some.
        before_flush_closes: called before the open flush is closed, so that a lane counts the
            records that it has finished into the flush that has their outputs.
        held_bytes: bytes of closed batches that are not acknowledged.
        max_bytes: with so many held, lanes begin no further attempts.

    Args:
        environment: the shared producer, the clock, and the bounds of a flush.
        max_bytes: most bytes that may be held.
        metrics: learn since when nothing was acknowledged.
        on_finished: called with each flush once all its batches are acknowledged.
        refusals: told of the batches that are refused for what is in them.
        on_failed: called once with the reason when a batch failed; nothing is sent any more
            until `discard`.
    """

    def __init__(
        self,
        environment: Environment,
        max_bytes: int,
        *,
        metrics: StageMetrics,
        on_finished: Callable[[Flush], None],
        on_failed: Callable[[BaseException], None],
        refusals: Refusals | None = None,
    ) -> None:
        config = environment.config
        self._shared = environment.producer
        self._clock = environment.clock
        self._metrics = metrics
        self.before_flush_closes: Callable[[], None] = _nothing_to_book
        self._on_finished = on_finished
        self._on_failed = on_failed
        self._refusals = refusals
        self._max_records = config.flush_records
        self._linger_seconds = config.linger_seconds
        self._delivery_timeout_seconds = config.delivery_timeout_seconds
        self.open: Flush | None = None
        self._outstanding: dict[Flush, asyncio.TimerHandle] = {}
        self._given_up: list[Flush] = []
        self._handing_over: asyncio.Timeout | None = None
        self.held_bytes = 0
        self.max_bytes = max_bytes
        self._flush_bytes = max_bytes // (MAX_UNACKNOWLEDGED_FLUSHES + 1)
        self._hurry = False
        self._failed = False
        self._wake = asyncio.Event()
        self._has_room = asyncio.Event()

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be sent or acknowledged."""
        return self.open is None and not self._outstanding

    def flush(self) -> Flush:
        """The open flush; begun if there is none."""
        flush = self.open
        if flush is not None:
            return flush
        flush = self.open = Flush(self._shared, self._sealed)
        asyncio.get_running_loop().call_later(self._linger_seconds, self._linger_over, flush)
        return flush

    def add(self, work: Work) -> None:
        """Take over the outputs of a record that has ended."""
        work.partition.in_flight_bytes -= work.output_bytes  # they count as held from now on
        self.flush().add(work)

    def flush_if_full(self) -> None:
        """Send the open flush if it is full."""
        if self.open is not None and self.open.records >= self._max_records:
            self._wake.set()

    def flush_now(self) -> None:
        """Send what there is without waiting for more."""
        if self.open is not None:
            self._hurry = True
            self._wake.set()

    def flush_if_large(self) -> None:
        """Send the open flush if it is large; called after each slice of time.

        Bytes are counted when batches are closed, which costs nothing for a record. So large ones
        that are still open are closed here: a topic may have many partitions.
        """
        flush = self.open
        if flush is None:
            return
        if flush.sealed_bytes + flush.open_bytes() >= self._flush_bytes:
            for batches in flush.batches.values():
                batches.seal()
            self.flush_now()

    async def wait_for_room(self) -> None:
        """Wait until fewer bytes are held than may be."""
        while self.held_bytes >= self.max_bytes:
            self.flush_now()
            self._has_room.clear()
            await self._has_room.wait()

    async def run(self) -> None:
        """Send flushes until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._may_send():
                await self._send(self._close_open())

    def discard(self) -> None:
        """Give up what is open or unacknowledged: its records will be delivered again.

        Except those of which `take_acknowledged` says that they are finished.
        """
        if self.open is not None:
            self._close_open()
        if not self._failed and not self._is_overdue():
            self._metrics.unacknowledged_since = None  # they were given up for another reason
        for timer in self._outstanding.values():
            timer.cancel()
        scope = self._handing_over
        if scope is not None and not scope.expired() and self._outstanding:
            # The client may take a batch of it never; later flushes do not wait for that.
            until = asyncio.get_running_loop().time() + ANSWER_TIMEOUT_SECONDS
            scope.reschedule(until)
        self._given_up += self._outstanding
        self._outstanding.clear()
        self._failed = False
        self._release(self.held_bytes)

    def _is_overdue(self) -> bool:
        since = self._metrics.unacknowledged_since
        return since is not None and self._clock.monotonic() - since >= ANSWER_TIMEOUT_SECONDS

    def _sealed(self, size: int) -> None:
        self.held_bytes += size

    def _release(self, size: int) -> None:
        self.held_bytes -= size
        self._has_room.set()

    def take_acknowledged(self) -> Mapping[Partition, Finished]:
        """Return the finished records of the flushes that were given up, and forget these flushes.

        Acknowledgements that come later are too late.
        """
        given_up, self._given_up = self._given_up, []
        return finished_in(given_up)

    def _linger_over(self, flush: Flush) -> None:
        """Send it now; not asked of the clock, which may be a tick behind its own timer."""
        if flush is self.open:
            self.flush_now()

    def _may_send(self) -> bool:
        flush = self.open
        if flush is None or self._failed or len(self._outstanding) >= MAX_UNACKNOWLEDGED_FLUSHES:
            return False
        return self._hurry or flush.records >= self._max_records

    def _close_open(self) -> Flush:
        """Close the open flush: its batches take no more."""
        self.before_flush_closes()
        flush = self.open
        assert flush is not None  # noqa: S101 - the callers have looked
        self.open = None
        self._hurry = False
        return flush

    async def _send(self, flush: Flush) -> None:
        batches = flush.take_batches()
        # One more than there are batches, so that the last acknowledgement cannot come before
        # the last batch is sent.
        flush.unacknowledged = len(batches) + 1
        self._outstanding[flush] = asyncio.get_running_loop().call_later(
            self._delivery_timeout_seconds, self._expire, flush
        )
        if self._metrics.unacknowledged_since is None:
            self._metrics.unacknowledged_since = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._delivery_timeout_seconds) as scope:
                self._handing_over = scope
                try:
                    await self._hand_over(flush, batches)
                finally:
                    self._handing_over = None
        except (StreamappError, TimeoutError) as error:
            self._fail(flush, error)
        else:
            self._count_down(flush)

    async def _hand_over(self, flush: Flush, batches: Sequence[tuple[Place, BatchBuilder]]) -> None:
        """Give the batches to the producer, except those of places where it has refused one.

        Raises:
            StreamappError: the first refusal.
        """
        refused: dict[Place, StreamappError] = {}
        for place, batch in batches:
            if flush not in self._outstanding:
                break  # given up meanwhile: its records are delivered again
            if place in refused:
                continue
            topic, number = place
            flush.outputs[topic] += batch.record_count()
            try:
                future = await self._shared.send_batch(batch, topic.name, number)
            except StreamappError as error:
                refused[place] = error
            else:
                future.add_done_callback(partial(self._acknowledged, flush, place))
        if refused:
            raise next(iter(refused.values()))

    def _acknowledged(self, flush: Flush, place: Place, future: "asyncio.Future[object]") -> None:
        if future.cancelled():
            self._fail(flush, BrokerError("a batch was given up by the producer"))
        elif (error := future.exception()) is not None:
            if self._refusals is not None and isinstance(error, BatchRefusedError):
                self._refused(flush, place, error, self._refusals)
            self._fail(flush, error)
        else:
            flush.acknowledge(place)
            if self._refusals is not None:
                self._refusals.taken(place)
            self._count_down(flush)

    def _count_down(self, flush: Flush) -> None:
        flush.unacknowledged -= 1
        if flush.unacknowledged or flush not in self._outstanding:
            return
        timer = self._outstanding.pop(flush)
        timer.cancel()
        self._metrics.unacknowledged_since = self._clock.monotonic() if self._outstanding else None
        self._release(flush.sealed_bytes)
        self._on_finished(flush)
        self._wake.set()

    def _refused(
        self, flush: Flush, place: Place, error: BatchRefusedError, refusals: Refusals
    ) -> None:
        """Say for which records, unless another batch has failed before."""
        if flush in self._outstanding and not self._failed:
            refusals.batch_refused(error, place, suspects_of(flush, place))

    def _expire(self, flush: Flush) -> None:
        seconds = self._delivery_timeout_seconds
        self._fail(flush, BrokerError(f"a batch was not acknowledged within {seconds:g} s"))

    def _fail(self, flush: Flush, error: BaseException) -> None:
        """Report the first failure; what was discarded meanwhile is nobody's concern."""
        if flush in self._outstanding and not self._failed:
            self._failed = True
            self._on_failed(error)


def _nothing_to_book() -> None:
    """Stands for whoever may keep what belongs to an open flush."""
