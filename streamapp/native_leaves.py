"""Selects the native leaves, or their twins in Python; nobody else decides that.

The native leaves are a distribution of their own, `streamapp-native`, which the extra `fast`
installs. They do what their twins do, in less time. Whoever has a leaf asks `SELECTED.is_native`
when it makes one, and then takes it from `native`.
"""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import streamapp_native as native

__all__ = ["INTERFACE", "SELECTED", "SWITCH", "Selection", "native", "select"]

INTERFACE: Final = 3
"""The interface of the native leaves that is called here. Another one is not used."""

SWITCH: Final = "STREAMAPP_NATIVE"
"""Environment variable that turns the native leaves off, with the value 0."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which leaves run, and why.

    Attributes:
        module: the native leaves; `None` where the twins run.
        reason: why, in a few words.
    """

    module: ModuleType | None
    reason: str

    @property
    def is_native(self) -> bool:
        """Whether the native leaves run."""
        return self.module is not None

    @property
    def sentence(self) -> str:
        """Says it to an operator."""
        return f"{'native' if self.is_native else 'Python'} leaves: {self.reason}"


def select(environment: Mapping[str, str]) -> Selection:
    """Select the native leaves, if they can be imported, fit, and are not turned off."""
    if environment.get(SWITCH, "").strip().lower() in {"0", "false", "no", "off"}:
        return Selection(None, f"{SWITCH} turns the native ones off")
    try:
        module: Any = importlib.import_module("streamapp_native")
    except ModuleNotFoundError:
        return Selection(None, "streamapp-native is not installed")
    except Exception as error:  # noqa: BLE001 - a wheel of another platform may raise anything
        return Selection(None, f"streamapp-native cannot be imported: {error}")
    interface, version = getattr(module, "INTERFACE", None), getattr(module, "VERSION", None)
    if interface != INTERFACE:
        return Selection(
            None, f"streamapp-native {version} has the interface {interface}, not {INTERFACE}"
        )
    return Selection(module, f"streamapp-native {version}")


SELECTED: Final = select(os.environ)
"""What was selected when this was imported."""

if not TYPE_CHECKING:
    native = SELECTED.module
