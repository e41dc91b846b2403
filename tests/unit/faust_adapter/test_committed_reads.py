"""What is known of offsets without records, such as the markers of transactions."""

import asyncio
from typing import Any
from uuid import uuid4

import faust
import pytest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from hypothesis import given
from hypothesis import strategies as st

from streamapp.errors import ConfigurationError
from streamapp.faust_adapter.committed_reads import (
    CommittedConsumer,
    CommittedThread,
    Gaps,
    read_committed,
)
from streamapp.record import TopicPartition

ORDERS = TopicPartition("orders", 0)


def test_the_marker_after_the_last_record_is_passed() -> None:
    gaps = Gaps()
    gaps.fetched(ORDERS, 0, 4, last=2)
    assert [gaps.end_of(ORDERS, offset) for offset in (2, 3, 4)] == [2, 4, 4]


def test_markers_that_come_later_one_after_the_other_are_passed_too() -> None:
    gaps = Gaps()
    gaps.fetched(ORDERS, 0, 3, last=2)
    gaps.fetched(ORDERS, 3, 4, last=None)
    gaps.fetched(ORDERS, 4, 5, last=None)
    assert gaps.end_of(ORDERS, 3) == 5


def test_a_position_that_was_set_elsewhere_does_not_join_two_stretches() -> None:
    gaps = Gaps()
    gaps.fetched(ORDERS, 0, 3, last=2)
    gaps.fetched(ORDERS, 7, 9, last=None)
    assert gaps.end_of(ORDERS, 3) == 3
    assert gaps.end_of(ORDERS, 7) == 9


@given(log=st.lists(st.booleans(), max_size=20), data=st.data())
def test_a_record_is_never_passed(log: list[bool], data: st.DataObject) -> None:
    """A log of records and markers, fetched in any pieces, from any offset, again and again."""
    gaps = Gaps()
    for _ in range(data.draw(st.integers(0, 6))):
        start, end = sorted(data.draw(st.integers(0, len(log))) for _ in range(2))
        records = [offset for offset in range(start, end) if log[offset]]
        gaps.fetched(ORDERS, start, end, records[-1] if records else None)
        for offset in range(len(log) + 1):
            assert not any(log[offset : gaps.end_of(ORDERS, offset)])


class State:
    """A partition in one assignment."""

    has_valid_position = True

    def __init__(self) -> None:
        self.position = 0


class Client:
    """Plays the Kafka client inside of the thread."""

    def __init__(self) -> None:
        self.states = {ORDERS: State()}
        self._subscription = self
        self.subscription = self
        self.assignment = self

    def state_value(self, partition: Any) -> State | None:
        return self.states.get(partition)


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> CommittedThread:
    """The thread, whose fetches find a marker at 0, after whatever happens during them."""

    async def fetch(self: Any, client: Client, *_: Any) -> dict[Any, Any]:
        await self.during()
        client.states[ORDERS].position += 1
        return {}

    async def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(AIOKafkaConsumerThread, "_fetch_records", fetch)
    monkeypatch.setattr(AIOKafkaConsumerThread, "seek_to_committed", nothing)
    made = CommittedThread.__new__(CommittedThread)
    made.gaps, made._seeks, made._seeking = Gaps(), 0, 0
    made.during = nothing  # type: ignore[attr-defined] # what happens during the fetch
    return made


async def test_what_a_fetch_has_passed_is_noted(thread: CommittedThread) -> None:
    await thread._fetch_records(Client(), {ORDERS})
    assert thread.gaps.end_of(ORDERS, 0) == 1


async def test_a_fetch_during_which_faust_seeks_says_nothing(thread: CommittedThread) -> None:
    thread.during = thread.seek_to_committed  # type: ignore[attr-defined] # of the fixture
    await thread._fetch_records(Client(), {ORDERS})
    assert thread.gaps.end_of(ORDERS, 0) == 0


async def test_a_fetch_that_is_shorter_than_a_seek_says_nothing(
    thread: CommittedThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = asyncio.Event()
    monkeypatch.setattr(AIOKafkaConsumerThread, "seek_to_committed", lambda _self: ends.wait())
    seeking = asyncio.create_task(thread.seek_to_committed())
    await asyncio.sleep(0)
    await thread._fetch_records(Client(), {ORDERS})
    ends.set()
    await seeking
    assert thread.gaps.end_of(ORDERS, 0) == 0


async def test_a_fetch_during_which_the_partition_is_assigned_anew_says_nothing(
    thread: CommittedThread,
) -> None:
    client = Client()

    async def assign() -> None:
        client.states[ORDERS] = State()

    thread.during = assign  # type: ignore[attr-defined] # of the fixture
    await thread._fetch_records(client, {ORDERS})
    assert thread.gaps.end_of(ORDERS, 0) == 0


def application() -> faust.App:
    return faust.App(f"app-{uuid4().hex[:8]}", broker="kafka://127.0.0.1:9092")


def test_an_application_is_made_to_read_committed_records_once() -> None:
    app = application()
    assert app.transport.Consumer is Consumer
    read_committed(app)
    read_committed(app)
    assert app.transport.Consumer is CommittedConsumer


def test_a_transport_of_its_own_is_refused() -> None:
    app = application()
    app.transport.Consumer = type("Own", (Consumer,), {})  # type: ignore[misc] # a class variable
    with pytest.raises(ConfigurationError, match="reads by a transport of its own"):
        read_committed(app)


def test_its_thread_keeps_no_process_alive_and_ends_quietly_when_it_is_cancelled() -> None:
    class Service:
        def _start_thread(self) -> None:
            raise asyncio.CancelledError

    thread = CommittedThread.Worker(Service())
    assert thread.daemon
    thread.run()
    assert thread.is_stopped.is_set()


def test_faust_logs_as_itself_from_there() -> None:
    assert {CommittedThread.logger.name, CommittedConsumer.logger.name} == {Consumer.__module__}
