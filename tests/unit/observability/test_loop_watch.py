"""What blocks an event loop is named from a thread, while it does and afterwards."""

import asyncio
import logging
import selectors
import socket
import threading
import time

import pytest

from streamapp.observability.loop_blocks import LoopBlocks
from streamapp.observability.loop_watch import LoopWatch, Owner
from streamapp.pipeline.agent import agent
from streamapp.pipeline.codes import codes_of


def block_until(seen: list[float]) -> None:
    """Compute, and never give others a turn, until somebody has seen it."""
    while not seen:
        pass


class Watched(LoopBlocks):
    """Says when a block of at least so many seconds is known."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seen: list[float] = []
        threading.Thread(target=self._look, args=(seconds,), daemon=True).start()

    def _look(self, seconds: float) -> None:
        while not any(one.seconds >= seconds for one in self.list()):
            time.sleep(0.01)
        self.seen.append(seconds)


async def test_the_agent_that_blocks_the_loop_is_named_while_it_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocks = Watched(2.0)

    @agent
    def slow(value: dict[str, str]) -> dict[str, str]:
        while not blocks.seen:
            pass
        return value

    owners = dict.fromkeys(codes_of(slow), Owner("orders", "check", "slow"))
    with caplog.at_level(logging.WARNING, "streamapp.observability.loop_watch"):
        async with LoopWatch(blocks, owners).watching():
            slow({})
            [block] = blocks.list()
            assert block.in_words.startswith(
                "agent 'slow' of stage 'check' has blocked the event loop"
            )
            assert "test_loop_watch.py" in block.place
            assert "in slow" in block.place
            while len(caplog.messages) < 2:  # noqa: ASYNC110 - a thread tells it
                await asyncio.sleep(0.05)
    assert caplog.messages[0].endswith("and goes on")
    assert "declare the agent as @agent(blocking=True)" in caplog.messages[1]


async def test_what_is_no_agent_is_named_by_its_place() -> None:
    blocks = Watched(1.0)
    async with LoopWatch(blocks, {}).watching():
        block_until(blocks.seen)
    [block] = blocks.list()
    assert block.agent == ""
    assert "in block_until" in block.place


async def test_what_waits_for_a_file_of_its_own_blocks_the_loop_as_well() -> None:
    blocks, (reader, writer) = Watched(1.0), socket.socketpair()
    with reader, writer, selectors.DefaultSelector() as selector:  # as subprocess.run does
        selector.register(reader, selectors.EVENT_READ)
        async with LoopWatch(blocks, {}).watching():
            for _ in range(20):
                if not blocks.seen:
                    selector.select(0.5)
    assert blocks.list()[0].place


async def test_a_loop_that_waits_is_not_blocked() -> None:
    blocks = LoopBlocks()
    async with LoopWatch(blocks, {}).watching():
        await asyncio.sleep(1.5)
    assert blocks.list() == ()


def test_the_codes_of_an_object_are_those_of_its_methods() -> None:
    class Lookup:
        def __call__(self, value: dict[str, str]) -> dict[str, str]:
            return self.find(value)

        def find(self, value: dict[str, str]) -> dict[str, str]:
            return value

    made = agent(Lookup())
    assert {code.co_name for code in codes_of(made)} >= {"__call__", "find"}
