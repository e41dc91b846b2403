"""Runs of an agent's function, event by event."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from faust.streams import current_event

from streamapp.errors import PipelineError
from streamapp.faust_adapter.conversation import Conversation
from streamapp.faust_adapter.event_stream import EventStream


@dataclass(eq=False)
class Event:
    value: Any
    key: Any = None
    seen: list[Any] = field(default_factory=list)


async def test_what_is_yielded_until_the_next_event_is_asked_for_are_its_outputs() -> None:
    async def doubled(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            yield value
            yield value * 2

    conversation = Conversation("doubled", doubled)
    assert await conversation.work_on(Event(1)) == [1, 2]
    assert await conversation.work_on(Event(2)) == [2, 4]
    await conversation.end()


async def test_a_function_that_yields_nothing_gives_no_outputs() -> None:
    seen = []

    async def quiet(stream: Any) -> None:
        async for key, value in stream.items():
            seen.append((key, value))

    conversation = Conversation("quiet", quiet)
    assert await conversation.work_on(Event("a", b"k")) == []
    assert seen == [(b"k", "a")]
    await conversation.end()


async def test_a_failure_is_raised_and_the_next_event_is_given_to_a_new_run() -> None:
    runs = 0

    async def picky(stream: Any) -> AsyncIterator[int]:
        nonlocal runs
        runs += 1
        async for value in stream:
            yield value
            if value == 13:
                raise ValueError("unlucky")

    conversation = Conversation("picky", picky)
    assert await conversation.work_on(Event(1)) == [1]
    with pytest.raises(ValueError, match="unlucky"):
        await conversation.work_on(Event(13))
    assert await conversation.work_on(Event(2)) == [2]
    assert runs == 2
    await conversation.end()


async def test_the_current_event_is_known_where_tables_look_for_it() -> None:
    found = []

    async def looking(stream: Any) -> None:
        async for event in stream.events():
            is_known = current_event() is event, stream.current_event is event
            found.append(is_known)

    conversation = Conversation("looking", looking)
    await conversation.work_on(Event(1))
    await conversation.work_on(Event(2))
    assert found == [(True, True)] * 2
    await conversation.end()


async def test_an_attempt_that_is_cancelled_ends_the_run() -> None:
    ended = asyncio.Event()

    async def slow(stream: Any) -> None:
        async for _ in stream:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    conversation = Conversation("slow", slow)
    await conversation.begin()
    attempt = asyncio.create_task(conversation.work_on(Event(1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert ended.is_set()


async def test_a_function_that_leaves_its_loop_has_finished_the_event() -> None:
    async def once(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            yield value
            break

    conversation = Conversation("once", once)
    assert await conversation.work_on(Event(1)) == [1]
    assert await conversation.work_on(Event(2)) == [2]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_function_that_ends_while_it_waits_has_not_finished_the_next_event(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def impatient(stream: Any) -> AsyncIterator[int]:
        try:
            async with asyncio.timeout(0.01):
                async for value in stream:
                    yield value
        except TimeoutError:
            if fails:
                raise

    conversation = Conversation("impatient", impatient)
    assert await conversation.work_on(Event(1)) == [1]
    await asyncio.sleep(0.05)
    assert await conversation.work_on(Event(2)) == [2]
    assert "the Faust agent impatient ended while it waited for a record" in caplog.text
    await conversation.end()


async def test_a_function_that_never_takes_what_it_asks_for_is_told() -> None:
    async def shy(stream: Any) -> None:
        asking = asyncio.ensure_future(anext(stream))
        await stream.asked
        asking.cancel()
        await asyncio.sleep(0.01)

    with pytest.raises(PipelineError, match="'shy' asks for a record and ends before it"):
        await Conversation("shy", shy).work_on(Event(1))


async def test_who_asks_again_before_it_was_given_its_event_has_not_finished_it() -> None:
    stream = EventStream("again")
    asking = asyncio.create_task(anext(stream))
    await stream.asked
    asking.cancel()
    stream.give(Event(1))
    assert await anext(stream) == 1
    assert not stream.asked.done()
    asking = asyncio.create_task(anext(stream))
    await stream.asked
    asking.cancel()


async def test_a_function_that_cancels_itself_fails_and_does_not_cancel_the_stage() -> None:
    async def odd(stream: Any) -> None:
        async for _ in stream:
            raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="'odd' cancelled itself"):
        await Conversation("odd", odd).work_on(Event(1))


async def test_a_function_that_asks_for_no_event_is_refused() -> None:
    async def idle(_stream: Any) -> None:
        pass

    with pytest.raises(PipelineError, match="'idle' ended without asking for a record"):
        await Conversation("idle", idle).begin()


@pytest.mark.parametrize("name", ["take", "group_by", "through", "filter"])
async def test_what_a_stage_cannot_keep_is_refused_by_name(name: str) -> None:
    async def greedy(stream: Any) -> None:
        async for _ in getattr(stream, name)(10):
            pass

    with pytest.raises(PipelineError, match=rf"uses stream\.{name}, which a stage does not have"):
        await Conversation("greedy", greedy).begin()
