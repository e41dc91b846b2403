"""The start and the end of an application that does not answer, and its rebalances."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from streamapp.brokers.protocols import ConsumerConfig
from streamapp.errors import StageError
from streamapp.faust_adapter.consumer import FaustConsumer
from streamapp.faust_adapter.embedded_app import EmbeddedApp
from streamapp.faust_adapter.sends import Sends
from streamapp.record import TopicPartition
from tests.contract.harness import Listener
from tests.patience import within


class Loop:
    """Plays the event loop of Faust's thread."""

    def __init__(self) -> None:
        self.called: list[Any] = []

    def call_soon_threadsafe(self, function: Any, *_: Any) -> None:
        self.called.append(function)


class App:
    """Waits for its group for ever, as Faust does behind a member that has died."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.conf = SimpleNamespace(id="shop")
        self.agents: dict[str, Any] = {}
        self.crashed = False
        self.producer = SimpleNamespace(sends=Sends())
        self.on_partitions_revoked = self.on_rebalance_complete = self
        self.on_rebalance_end: Any = lambda: None
        self.loop = Loop()
        self.ended = threading.Event()
        thread = SimpleNamespace(is_stopped=self.ended, stop=self.ended.wait)
        self._consumer = SimpleNamespace(
            _thread=SimpleNamespace(_thread=thread, thread_loop=self.loop)
        )
        self._failure = failure

    def connect(self, *_: Any, **__: Any) -> None:
        """Nothing is sent."""

    async def start(self) -> None:
        if self._failure is not None:
            raise self._failure
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self._consumer._thread._thread.stop()  # waits for the thread, and blocks the loop


async def test_a_worker_can_be_stopped_while_faust_waits_for_its_group() -> None:
    app = App()
    embedded = EmbeddedApp(app)
    async with asyncio.timeout(60):
        await embedded.start()
        embedded.require_running()
        await embedded.stop(5)
    assert [one.__name__ for one in app.loop.called] == ["_cancel_all"]


async def test_a_thread_that_ends_is_left_alone() -> None:
    app = App()
    embedded = EmbeddedApp(app)
    await embedded.start()
    app.ended.set()
    await embedded.stop(5)
    assert app.loop.called == []


async def test_a_start_that_fails_is_told() -> None:
    embedded = EmbeddedApp(App(OSError("no")))
    await embedded.start()
    await asyncio.sleep(0)
    with pytest.raises(StageError, match="'shop' did not start: OSError: no; start the worker"):
        embedded.require_running()


async def test_what_could_not_be_written_is_told_and_ends_the_stage() -> None:
    app = App()
    app.ended.set()
    embedded = EmbeddedApp(app)
    await embedded.start()
    embedded.require_running()
    app.producer.sends.failed("spent-changelog", "too large")
    with pytest.raises(StageError, match="'shop' could not write to spent-changelog: too large"):
        embedded.require_running()
    await embedded.stop(5)


async def test_the_stop_of_an_application_that_has_crashed_raises_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Crashed(App):
        async def stop(self) -> None:
            raise RuntimeError("Cannot flush: Producer not Running")

    class ClosedLoop(Loop):
        def call_soon_threadsafe(self, *_: Any) -> None:
            raise RuntimeError("Event loop is closed")

    app = Crashed()
    app._consumer._thread.thread_loop = ClosedLoop()
    embedded = EmbeddedApp(app)
    await embedded.start()
    await embedded.stop(5)
    assert "shop did not stop properly: RuntimeError('Cannot flush" in caplog.text


async def test_an_application_that_was_stopped_is_not_started_again_without_a_word() -> None:
    app = App()
    app.ended.set()
    embedded = EmbeddedApp(app)
    await embedded.start()
    await embedded.stop(5)
    with pytest.raises(StageError, match="joins it again only in a new process"):
        await embedded.start()


class Hanging(App):
    """Does not stop, and has an agent that Faust starts again whenever it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.supervisor = SimpleNamespace(_stopped=asyncio.Event())
        never = SimpleNamespace(supervisor=None)
        self.agents = {"a": SimpleNamespace(supervisor=self.supervisor), "b": never}

    async def stop(self) -> None:
        await asyncio.Event().wait()


async def hanging() -> tuple[Hanging, EmbeddedApp]:
    app = Hanging()
    embedded = EmbeddedApp(app)
    embedded._started = asyncio.create_task(app.start())
    return app, embedded


async def test_an_application_that_does_not_stop_is_abandoned_and_starts_no_agent_again() -> None:
    app, embedded = await hanging()
    await embedded.stop(0.01)
    assert app.supervisor._stopped.is_set()
    assert "_cancel_all" in [one.__name__ for one in app.loop.called]


async def test_so_is_one_whose_stop_is_cut_off_by_who_waits_for_it() -> None:
    app, embedded = await hanging()
    stopping = asyncio.create_task(embedded.stop(60))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert app.supervisor._stopped.is_set()
    assert "_cancel_all" in [one.__name__ for one in app.loop.called]


def stages_of(embedded: EmbeddedApp, *topics: str) -> list[Listener]:
    """The listeners of stages that have a partition each."""
    listeners = [Listener() for _ in topics]
    for topic, listener in zip(topics, listeners, strict=True):
        consumer = FaustConsumer(embedded, ConsumerConfig("shop", (topic,)), listener)
        consumer._held = frozenset({TopicPartition(topic, 0)})
        embedded.add(topic, consumer)
    return listeners


async def test_stages_of_one_application_drain_side_by_side_before_a_rebalance() -> None:
    embedded = EmbeddedApp(App())
    met = asyncio.Barrier(3)  # a drain after the other would wait for ever

    async def drain(_: object) -> None:
        await met.wait()

    for listener in stages_of(embedded, "orders", "returns", "refunds"):
        listener.revoking = drain
    async with within(5, "all drains"):
        await embedded._revoked(embedded.app, ())


async def test_a_drain_that_fails_lets_the_others_end_and_is_told_to_faust() -> None:
    embedded = EmbeddedApp(App())
    failing, other = stages_of(embedded, "orders", "returns")
    ended: list[object] = []

    async def fail(_: object) -> None:
        raise RuntimeError("no")

    async def end_later(partitions: object) -> None:
        await asyncio.sleep(0)
        ended.append(partitions)

    failing.revoking, other.revoking = fail, end_later
    with pytest.raises(RuntimeError, match="no"):
        await embedded._revoked(embedded.app, ())
    assert ended == [frozenset({TopicPartition("returns", 0)})]
