"""Native leaves run where they can; whatever is wrong with them, the twins run and say why."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from streamapp.native_leaves import INTERFACE, SELECTED, select


def module(interface: int = INTERFACE) -> ModuleType:
    made = ModuleType("streamapp_native")
    made.__dict__.update(INTERFACE=interface, VERSION="9.9.9")
    return made


def test_native_leaves_that_fit_are_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamapp_native", module())
    assert select({}).is_native
    assert select({}).sentence == "native leaves: streamapp-native 9.9.9"


@pytest.mark.parametrize("value", ["0", "false", " No ", "OFF"])
def test_the_environment_turns_them_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setitem(sys.modules, "streamapp_native", module())
    selection = select({"STREAMAPP_NATIVE": value})
    assert not selection.is_native
    assert selection.sentence == "Python leaves: STREAMAPP_NATIVE turns the native ones off"


def test_without_the_distribution_the_twins_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamapp_native", None)
    assert select({}).reason == "streamapp-native is not installed"


def test_leaves_with_another_interface_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamapp_native", module(INTERFACE + 1))
    selection = select({})
    assert not selection.is_native
    assert selection.reason.startswith("streamapp-native 9.9.9 has the interface")


def test_leaves_that_fail_to_import_say_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "streamapp_native.py").write_text("raise ImportError('wrong platform')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "streamapp_native", raising=False)
    assert select({}).reason == "streamapp-native cannot be imported: wrong platform"


def test_what_runs_here_is_what_the_environment_gives() -> None:
    assert SELECTED.is_native == (SELECTED.module is not None)
