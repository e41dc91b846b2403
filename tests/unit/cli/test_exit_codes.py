import sys
from typing import NoReturn

import pytest

from streamapp.cli import main
from streamapp.cli.exit_codes import ExitCode
from streamapp.errors import (
    AgentSetupError,
    BrokerError,
    CommitRefusedError,
    ConfigurationError,
    DrainTimeoutError,
    OffsetOutOfRangeError,
    PipelineError,
    PortInUseError,
    StageStoppedError,
    StreamappError,
    TopicError,
    UnreadableRecordError,
)
from streamapp.local_kafka import errors as dev_errors
from streamapp.record import TopicPartition

PLACE = TopicPartition("t", 0)
STOPPED = StageStoppedError("x", stage_id="s", partition=PLACE, offset=1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PortInUseError("x"), ExitCode.PORT_IN_USE),
        (dev_errors.PortInUseError("x"), ExitCode.PORT_IN_USE),
        (ConfigurationError("x"), ExitCode.CONFIGURATION),
        (PipelineError("x"), ExitCode.CONFIGURATION),
        (TopicError("x"), ExitCode.CONFIGURATION),
        (AgentSetupError("x", stage_id="s"), ExitCode.CONFIGURATION),
        (STOPPED, ExitCode.STAGE_STOPPED),
        (DrainTimeoutError("x", stage_id="s"), ExitCode.DRAIN_TIMEOUT),
        (OffsetOutOfRangeError("x", offsets={PLACE: 1}), ExitCode.POSITION_LOST),
        (UnreadableRecordError("x", partition=PLACE, offset=1), ExitCode.RECORD_UNREADABLE),
        (BrokerError("x"), ExitCode.BROKER_UNREACHABLE),
        (CommitRefusedError("x"), ExitCode.BROKER_UNREACHABLE),
        (dev_errors.ToolMissingError("x"), ExitCode.FAILURE),
        (StreamappError("x"), ExitCode.FAILURE),
    ],
)
def test_an_error_ends_with_the_code_of_its_kind(error: StreamappError, code: ExitCode) -> None:
    assert main.exit_code_of(error) is code


def end_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command line where a command ends with this error; returns the exit code."""

    def command() -> NoReturn:
        raise error

    monkeypatch.setattr(main, "app", command)
    monkeypatch.setattr(main, "log_what_escapes", lambda: None)  # it would take pytest's hooks
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_an_error_in_a_group_of_tasks_is_told_like_any_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [BrokerError("Kafka is gone")])])
    assert end_with(group, monkeypatch) == ExitCode.BROKER_UNREACHABLE
    assert capsys.readouterr().err == "streamapp: Kafka is gone\n"


def test_a_bug_is_told_with_its_stack_and_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_with(KeyError("lost"), monkeypatch) == ExitCode.BUG
    stderr = capsys.readouterr().err
    assert "\nKeyError\n" in stderr
    assert sys._getframe().f_code.co_filename in stderr
    assert "please report it" in stderr
