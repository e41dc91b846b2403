"""A worker's end of the socket to its supervisor."""

import os
import queue
import socket
import threading
from collections.abc import Iterator

import pytest

from streamapp.supervisor.connection import ALIVE, DRAIN, SupervisorConnection, up_line, web_port_of

PATIENCE_SECONDS = 10.0


class Line:
    """Both ends of the socket, and what the worker was told, in order."""

    def __init__(self) -> None:
        self.supervisor, worker = socket.socketpair()
        self.supervisor.settimeout(PATIENCE_SECONDS)
        self.descriptor = worker.detach()
        os.set_inheritable(self.descriptor, True)  # noqa: FBT003 - as a worker gets it
        self._told: queue.Queue[str] = queue.Queue()
        self.worker = SupervisorConnection(
            self.descriptor, on_overdue=lambda: self._told.put("overdue"), overdue_seconds=0.01
        )

    def drain(self) -> None:
        self._told.put("drain")

    def told(self) -> str:
        return self._told.get(timeout=PATIENCE_SECONDS)

    def tells_nothing_more(self) -> bool:
        return self._told.empty()

    def end(self) -> None:
        """End the supervisor, and let the worker's thread run to its end."""
        self.supervisor.close()
        while self.told() != "overdue":
            pass


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    if line.supervisor.fileno() >= 0:
        line.end()
    line.worker._socket.close()


@pytest.mark.parametrize("port", [8080, None])
def test_a_worker_reports_the_port_that_it_serves_on(line: Line, port: int | None) -> None:
    line.worker.report_up(port)
    said = line.supervisor.recv(100)
    assert said == up_line(port)
    assert said.endswith(b"\n")
    assert web_port_of(said) == port


def test_a_worker_drains_each_time_it_is_asked(line: Line) -> None:
    line.worker.on_drain(line.drain)
    assert line.tells_nothing_more()
    for _ in range(2):
        line.supervisor.sendall(DRAIN)
        assert line.told() == "drain"


def test_the_end_of_the_supervisor_drains_the_worker_and_ends_it_when_that_takes_too_long(
    line: Line,
) -> None:
    line.worker.on_drain(line.drain)
    line.supervisor.close()
    assert [line.told(), line.told()] == ["drain", "overdue"]


def test_a_worker_that_was_asked_before_it_can_drain_does_so_at_once(line: Line) -> None:
    line.supervisor.close()
    assert line.told() == "overdue"
    line.worker.on_drain(line.drain)
    assert line.told() == "drain"
    assert line.tells_nothing_more()


def test_a_report_to_a_supervisor_that_is_gone_does_no_harm(line: Line) -> None:
    line.end()
    line.worker.report_up(8080)


def test_what_an_agent_starts_does_not_hold_the_socket(line: Line) -> None:
    assert not os.get_inheritable(line.descriptor)


def test_the_end_of_a_worker_does_not_wait_for_its_supervisor(line: Line) -> None:
    assert line.tells_nothing_more()
    readers = [thread for thread in threading.enumerate() if thread.name == "supervisor"]
    assert readers
    assert all(thread.daemon for thread in readers)


def test_signs_of_life_never_wait_for_a_supervisor_that_does_not_read(line: Line) -> None:
    for _ in range(100_000):
        line.worker.report_alive()
    assert line.supervisor.recv(len(ALIVE)) == ALIVE
