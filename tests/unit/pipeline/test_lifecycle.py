"""One task owns the life of an agent, from its opening to its closing."""

import asyncio
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar, Token

import pytest

from streamapp.errors import AgentSetupError, ConfigurationError, StageError, TopicError
from streamapp.pipeline.agent import Agent, Lifecycle, agent
from streamapp.pipeline.lifecycle import OpenAgents
from tests.unit.runtime.virtual import in_virtual_time, loop

TENANT: ContextVar[str] = ContextVar("TENANT")


class Client:
    """An agent that notes what happens to it, and holds what it is told to while it is open."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls
        self.token: Token[str] | None = None

    async def open(self) -> None:
        self.calls.append(f"open {self.name}")
        self.token = TENANT.set(self.name)

    async def close(self) -> None:
        self.calls.append(f"close {self.name}")
        if self.token is not None:
            TENANT.reset(self.token)

    async def __call__(self, value: bytes) -> bytes:
        return value


class FailsToOpen(Client):
    async def open(self) -> None:
        await super().open()
        raise OSError("no such host")


class FailsToClose(Client):
    async def close(self) -> None:
        await super().close()
        raise OSError("already closed")


class HangsInClose(Client):
    async def close(self) -> None:
        await super().close()
        try:
            await asyncio.Event().wait()
        finally:
            self.calls.append(f"cancelled {self.name}")


class OpensInSeconds(Client):
    seconds = 3.0

    async def open(self) -> None:
        await super().open()
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.calls.append(f"cancelled {self.name}")
            raise


class OpensAllTheSame(OpensInSeconds):
    async def open(self) -> None:
        try:
            await super().open()
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)


class Holds(Client):
    """Holds a task group and a timeout; its background task ends when `fail` is set."""

    def __init__(self, name: str, calls: list[str]) -> None:
        super().__init__(name, calls)
        self.stack = AsyncExitStack()
        self.fail = asyncio.Event()

    async def open(self) -> None:
        await self.stack.enter_async_context(asyncio.timeout(3600))
        group = await self.stack.enter_async_context(asyncio.TaskGroup())
        self.background = group.create_task(self._refresh())
        await super().open()

    async def close(self) -> None:
        self.background.cancel()
        try:
            await self.stack.aclose()
        finally:
            await super().close()

    async def _refresh(self) -> None:
        await self.fail.wait()
        raise ConnectionError("the price list is gone")


def agents_of(*clients: Client) -> list[tuple[str, Agent[bytes, bytes]]]:
    return [(f"stage of {each.name}", agent(name=each.name)(each)) for each in clients]


def open_agents(lost: list[Lifecycle] | None = None) -> OpenAgents:
    on_lost = ([] if lost is None else lost).append
    return OpenAgents(open_seconds=7, close_seconds=5, on_lost=on_lost)


@in_virtual_time
async def test_an_object_is_opened_once_however_many_stages_use_it() -> None:
    calls: list[str] = []
    first, second = Client("first", calls), Client("second", calls)
    agents = open_agents()
    await agents.open(agents_of(first, second, first))
    await agents.close()
    assert calls == ["open first", "open second", "close second", "close first"]


@in_virtual_time
async def test_an_agent_may_hold_a_task_group_and_a_timeout_while_it_is_open() -> None:
    calls: list[str] = []
    agents = open_agents()
    await agents.open(agents_of(Holds("a", calls), Holds("b", calls)))
    await asyncio.sleep(1)
    await agents.close()
    assert calls == ["open a", "open b", "close b", "close a"]
    assert agents.lost() == []


@in_virtual_time
async def test_an_agent_that_fails_to_open_is_named_and_only_those_before_it_are_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    agents = open_agents()
    clients = Client("a", calls), FailsToOpen("b", calls), Client("c", calls)
    with pytest.raises(StageError) as raised:
        await agents.open(agents_of(*clients))
    assert str(raised.value) == (
        "the agent 'b' of stage 'stage of b' could not be opened: OSError: no such host"
    )
    assert raised.value.stage_id == "stage of b"
    assert isinstance(raised.value.original_error, OSError)
    await agents.close()
    assert calls == ["open a", "open b", "close a"]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("failure", "is_setup"),
    [
        (ConfigurationError("path: no such file"), True),
        (TopicError("no such topic"), True),
        (ExceptionGroup("tasks", [ConfigurationError("path: no such file")]), True),
        (OSError("no such host"), False),
        (ValueError("who knows"), False),
    ],
)
@in_virtual_time
async def test_a_fault_of_the_configuration_is_told_from_one_of_the_world(
    failure: Exception, is_setup: bool
) -> None:
    class Fails(Client):
        async def open(self) -> None:
            raise failure

    with pytest.raises(StageError, match="'a' of stage 'stage of a' could not be op") as raised:
        await open_agents().open(agents_of(Fails("a", [])))
    assert isinstance(raised.value, AgentSetupError) is is_setup
    assert isinstance(raised.value, ConfigurationError) is is_setup
    assert raised.value.original_error is failure


@in_virtual_time
async def test_an_agent_that_opens_although_it_was_cancelled_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    agents, client = open_agents(), OpensAllTheSame("a", calls)
    client.seconds = 60
    with pytest.raises(StageError, match="'a' of stage 'stage of a' did not open within 7 s"):
        await agents.open(agents_of(client))
    await agents.close()
    assert calls == ["open a", "cancelled a", "close a"]
    assert caplog.messages == []


@in_virtual_time
async def test_one_that_fails_or_hangs_in_its_close_keeps_no_other_from_being_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    agents = open_agents()
    clients = Client("a", calls), FailsToClose("b", calls), HangsInClose("c", calls)
    await agents.open(agents_of(*clients))
    began = loop().time()
    await agents.close()
    assert loop().time() - began == pytest.approx(5, abs=0.1)
    assert calls[3:] == ["close c", "cancelled c", "close b", "close a"]
    assert caplog.messages == [
        "the agent 'c' of stage 'stage of c' did not close within 5 s",
        "the agent 'b' of stage 'stage of b' failed to close: OSError: already closed",
    ]


@in_virtual_time
async def test_an_agent_that_has_just_opened_when_opening_is_stopped_stays_open() -> None:
    calls: list[str] = []
    lost: list[Lifecycle] = []
    agents = open_agents(lost)

    class Opens(Client):
        async def open(self) -> None:
            await super().open()
            asyncio.get_running_loop().call_soon(agents.stop_opening)

    await agents.open(agents_of(Opens("a", calls), Client("b", calls)))
    await asyncio.sleep(1)
    assert (calls, lost) == (["open a"], [])
    await agents.close()
    assert calls == ["open a", "close a"]


@in_virtual_time
async def test_a_cancellation_while_one_opens_cancels_it_and_goes_on_to_the_caller() -> None:
    calls: list[str] = []
    agents = open_agents()
    task = asyncio.create_task(
        agents.open(agents_of(Client("a", calls), OpensInSeconds("b", calls), Client("c", calls)))
    )
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["open a", "open b", "cancelled b"]
    await agents.close()
    assert calls[3:] == ["close a"]


@in_virtual_time
async def test_a_cancellation_while_they_close_cancels_one_closes_the_others_and_goes_on() -> None:
    calls: list[str] = []
    agents = open_agents()
    await agents.open(agents_of(Client("a", calls), HangsInClose("b", calls)))
    task = asyncio.create_task(agents.close())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls[2:] == ["close b", "cancelled b", "close a"]


@in_virtual_time
async def test_an_agent_whose_task_group_fails_is_closed_at_once_and_told_with_the_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    lost: list[Lifecycle] = []
    holds, agents = Holds("b", calls), open_agents(lost)
    await agents.open(agents_of(Client("a", calls), holds))
    holds.fail.set()
    await asyncio.sleep(1)
    assert (lost, calls[2:]) == ([holds], ["close b"])
    await agents.close()
    assert calls[2:] == ["close b", "close a"]
    [error] = agents.lost()
    assert str(error) == (
        "the agent 'b' of stage 'stage of b' has ended while its stage ran:"
        " ConnectionError: the price list is gone"
    )
    assert error.original_error is error.__cause__ is not None
    assert caplog.messages == []  # it is raised, so it is not logged


@in_virtual_time
async def test_an_agent_that_ends_when_all_are_being_closed_is_not_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    lost: list[Lifecycle] = []
    holds, agents = Holds("a", calls), open_agents(lost)
    await agents.open(agents_of(holds, HangsInClose("b", calls)))
    closing = asyncio.create_task(agents.close())
    await asyncio.sleep(1)
    holds.fail.set()
    await closing
    assert (lost, agents.lost()) == ([], [])
    assert calls[2:] == ["close b", "close a", "cancelled b"]
    assert "the agent 'a' of stage 'stage of a' failed to close: ConnectionError" in caplog.text


@in_virtual_time
async def test_an_agent_opens_and_closes_in_one_context_which_has_the_variables_of_the_caller() -> (
    None
):
    seen: list[str] = []

    class Sees(Client):
        async def open(self) -> None:
            seen.append(TENANT.get())
            await super().open()

        async def close(self) -> None:
            await super().close()
            seen.append(TENANT.get())

    TENANT.set("of the caller")
    agents = open_agents()
    await agents.open(agents_of(Sees("a", [])))
    assert (agents.context[TENANT], TENANT.get()) == ("a", "of the caller")
    await agents.close()
    assert seen == ["of the caller", "of the caller"]


@in_virtual_time
async def test_an_agent_that_does_not_end_when_it_is_cancelled_does_not_hold_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls, released = list[str](), asyncio.Event()

    class Stuck(Client):
        async def close(self) -> None:
            await super().close()
            while not released.is_set():
                with suppress(asyncio.CancelledError):
                    await released.wait()

    agents = open_agents()
    await agents.open(agents_of(Client("a", calls), Stuck("b", calls)))
    began = loop().time()
    async with asyncio.timeout(60):
        await agents.close()
    assert loop().time() - began == pytest.approx(5 + 1, abs=0.1)
    assert calls[2:] == ["close b", "close a"]
    assert caplog.messages[1:] == [
        "the agent 'b' of stage 'stage of b' does not end although it was cancelled"
    ]
    released.set()
