"""The file of scores: it outlasts restarts, is shared, and harms nothing when it is wrong."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamapp.atomic_file import locked_folder
from streamapp.pipeline.capability import Capability
from streamapp.registry import score_file
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.score_file import FILE_NAME, ScoreFile
from streamapp.registry.scores import FADING_SECONDS, SavedAgent, Scores
from tests.hand_clock import HandClock

TEN = SavedAgent(successes=10, failures=0, seconds=5)
FIVE_FAILED = SavedAgent(successes=0, failures=5, seconds=0)
BAD = [
    b"",
    b"{",
    b"[]",
    b'"scores"',
    b'{"agents": {}}',
    b'{"taken_at": 0, "agents": {"a": {"successes": -1, "failures": 0, "seconds": 0}}}',
    b'{"taken_at": 0, "agents": {}, "more": 1}',
    b'{"taken_at": NaN, "agents": {}}',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"taken_at": 0, "agents": {"a": {"successes": 1e999, "failures": 0, "seconds": 0}}}',
]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def rate(scores: Scores, agent_id: str = "a") -> str:
    """What is told of the success rate of an agent."""
    definition = AgentDefinition(
        agent_id=agent_id,
        agent_class="Agent",
        module_path="shop.agents",
        capabilities=(Capability.DATA_VALIDATION,),
        input_schema="A",
        output_schema="B",
    )
    figures = scores.score(definition).figures
    return next(one.told for one in figures if one.name == "success_rate")


def loaded(folder: Path, clock: HandClock) -> Scores:
    scores = Scores(clock=clock)
    ScoreFile(folder, clock).load(scores)
    return scores


def test_what_was_added_is_known_after_a_restart(tmp_path: Path, clock: HandClock) -> None:
    file = ScoreFile(tmp_path / "made" / "for it", clock)
    file.add({"a": TEN})
    file.add({"a": FIVE_FAILED})
    assert rate(loaded(tmp_path / "made" / "for it", clock)) == "66.7% of 15 calls"


def test_without_a_file_nothing_is_known(tmp_path: Path, clock: HandClock) -> None:
    assert rate(loaded(tmp_path, clock)) == "not measured"


def test_calls_fade_while_no_process_runs(tmp_path: Path, clock: HandClock) -> None:
    ScoreFile(tmp_path, clock).add({"a": TEN})
    clock.advance(FADING_SECONDS)
    assert rate(loaded(tmp_path, clock)) == "100.0% of 4 calls"
    clock.advance(20 * FADING_SECONDS)
    ScoreFile(tmp_path, clock).add({"b": TEN})
    assert list(json.loads((tmp_path / FILE_NAME).read_text())["agents"]) == ["b"]


def test_processes_overwrite_nothing_of_each_other(tmp_path: Path, clock: HandClock) -> None:
    def add(_: int) -> None:
        assert ScoreFile(tmp_path, clock).add({"a": TEN}) is not None

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(24)))
    assert rate(loaded(tmp_path, clock)) == "100.0% of 240 calls"


def test_each_process_learns_what_others_have_added(tmp_path: Path, clock: HandClock) -> None:
    scores = loaded(tmp_path, clock)
    ScoreFile(tmp_path, clock).add({"a": TEN})
    scores.restore(ScoreFile(tmp_path, clock).add({"b": FIVE_FAILED}) or {})
    assert rate(scores, "a") == "100.0% of 10 calls"
    assert rate(scores, "b") == "0.0% of 5 calls"


@pytest.mark.parametrize("content", BAD)
def test_a_file_that_is_not_ours_is_told_of_and_kept_aside(
    tmp_path: Path, clock: HandClock, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    file = ScoreFile(tmp_path, clock)
    scores = Scores(clock=clock)
    file.load(scores)
    assert rate(scores) == "not measured"
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert (tmp_path / FILE_NAME).read_bytes() == content
    file.add({"a": TEN})
    file.add({"a": TEN})
    assert rate(loaded(tmp_path, clock)) == "100.0% of 20 calls"
    [aside] = tmp_path.glob("*.damaged")
    assert aside.read_bytes() == content
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("target", "reason"),
    [(FILE_NAME, "Too many levels"), ("/proc/self/mem", "Input/output error")],
)
def test_a_file_that_cannot_be_read_is_told_of_and_kept_aside(
    tmp_path: Path, clock: HandClock, caplog: pytest.LogCaptureFixture, target: str, reason: str
) -> None:
    (tmp_path / FILE_NAME).symlink_to(target)  # not even root can read these
    file = ScoreFile(tmp_path, clock)
    assert rate(loaded(tmp_path, clock)) == "not measured"
    assert reason in caplog.text
    file.add({"a": TEN})
    file.add({"a": TEN})
    assert rate(loaded(tmp_path, clock)) == "100.0% of 20 calls"
    [aside] = tmp_path.glob("*.damaged")
    assert str(aside.readlink()) == target
    assert [one.getMessage().count(aside.name) for one in caplog.records] == [0, 1]


def test_a_pipe_in_its_place_keeps_nobody_waiting(tmp_path: Path, clock: HandClock) -> None:
    os.mkfifo(tmp_path / FILE_NAME)
    assert rate(loaded(tmp_path, clock)) == "not measured"
    ScoreFile(tmp_path, clock).add({"a": TEN})
    assert rate(loaded(tmp_path, clock)) == "100.0% of 10 calls"


@pytest.fixture(params=["a file stands in its place", "the file is a folder"])
def unwritable(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder in which nothing can be written, not even by root."""
    folder = tmp_path / "state"
    if request.param == "a file stands in its place":
        folder.write_text("")
    else:
        (tmp_path / "file").write_text("")
        folder = tmp_path / "file" / "state"
    yield folder
    assert not folder.is_dir()


def test_a_folder_that_cannot_be_written_is_told_once(
    unwritable: Path, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    file = ScoreFile(unwritable, clock)
    assert file.add({"a": TEN}) is None
    assert file.add({"a": TEN}) is None
    assert len(caplog.records) == 1
    assert "the service goes on" in caplog.text


def test_a_process_that_hangs_with_the_file_holds_nobody_up(
    tmp_path: Path,
    clock: HandClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(score_file, "LOCK_SECONDS", 0.05)
    file = ScoreFile(tmp_path, clock)
    with locked_folder(tmp_path):
        for _ in range(2):
            assert file.add({"a": TEN}) is None
    assert caplog.text.count(f"another process keeps {tmp_path} locked") == 1
    assert file.add({"a": TEN}) is not None
    assert rate(loaded(tmp_path, clock)) == "100.0% of 10 calls"
