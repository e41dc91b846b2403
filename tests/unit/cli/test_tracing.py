import sys

import pytest

from streamapp.cli.tracing import traces_from_environment
from streamapp.cli.variables import TRACES_VARIABLE
from streamapp.errors import ConfigurationError
from streamapp.observability.exemplars import Exemplars


def test_without_the_variable_nothing_is_added_and_opentelemetry_is_not_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(TRACES_VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "streamapp.middleware.traces", None)
    with traces_from_environment(Exemplars()) as traces:
        assert traces == ()


@pytest.mark.parametrize("share", ["yes", "-0.1", "1.5", "nan"])
def test_a_share_that_is_none_is_refused(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACES_VARIABLE, share)
    with (
        pytest.raises(ConfigurationError, match=f"STREAMAPP_TRACES is '{share}'; give the share"),
        traces_from_environment(Exemplars()),
    ):
        pass


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACES_VARIABLE, "1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with (
        pytest.raises(ConfigurationError, match=r"install streamapp\[otel\]"),
        traces_from_environment(Exemplars()),
    ):
        pass
