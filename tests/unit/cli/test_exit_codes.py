import pytest

from streamapp.brokers.dev.errors import PortInUseError, ToolMissingError
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.main import exit_code_of
from streamapp.errors import ConfigurationError, StreamappError, TopicError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PortInUseError("x"), ExitCode.PORT_IN_USE),
        (ConfigurationError("x"), ExitCode.CONFIGURATION),
        (TopicError("x"), ExitCode.CONFIGURATION),
        (ToolMissingError("x"), ExitCode.FAILURE),
        (StreamappError("x"), ExitCode.FAILURE),
    ],
)
def test_an_error_ends_with_the_code_of_its_kind(error: StreamappError, code: ExitCode) -> None:
    assert exit_code_of(error) is code
