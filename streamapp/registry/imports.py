"""Imports the agents that definitions name, and nothing else.

A definition may come from a file, so its words must not run code that nobody has allowed. The rules
are decided before anything is imported, and once more on what was found:

1. The module is in an allowed package, and so is every package around it, since their code runs
   first. Packages are compared name by name, never as text.
2. One attribute of the module is taken, without dots, and as the module has it: nothing is walked
   or computed.
3. What it is says itself in which module it was written; that has to be in an allowed package too.
   So a name that was only imported there does not pass.
4. It is an agent, or a class whose objects are agents.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from streamapp.errors import ImportRefusedError, RegistryError
from streamapp.pipeline.agent import Agent
from streamapp.registry.agent_class import signature_of
from streamapp.registry.derive import AnAgent, modules_of

_OURS = "streamapp"


class Importer:
    """Imports agents from allowed packages.

    Args:
        allowed: names of packages, such as `shop` or `shop.agents`. What is around the second has
            to be allowed as well, unless it is this package.
        how_to_allow: what to do to allow a package, for the message that refuses it.

    Raises:
        ImportRefusedError: a name is no name of a package, or the package around it is not allowed.
    """

    def __init__(
        self,
        allowed: Iterable[str] = (),
        *,
        how_to_allow: Callable[[str], str] = "add {!r} to allowed_packages".format,
    ) -> None:
        self.allowed = tuple(dict.fromkeys(allowed))
        self._how_to_allow = how_to_allow
        self._found: dict[tuple[str, str], AnAgent] = {}
        for name in self.allowed:
            if not _is_dotted_name(name):
                raise ImportRefusedError(
                    f"{name!r} is no name of a package; allow packages such as 'shop.agents'"
                )
        for name in self.allowed:
            self._require_allowed_parents(name)

    def allows(self, module: str) -> bool:
        """Whether a module is in an allowed package."""
        parts = module.split(".")
        return any(parts[: len(one)] == one for one in (name.split(".") for name in self.allowed))

    def agent(self, module_path: str, attribute: str) -> AnAgent:
        """Import an agent, or a class of agents.

        Args:
            module_path: dotted name of the module.
            attribute: its name there.

        Raises:
            ImportRefusedError: the module is not allowed or cannot be imported, it has no such
                attribute, or that is no agent of an allowed package.
        """
        key = module_path, attribute
        if key not in self._found:  # which thousands of definitions may name
            self._found[key] = self._imported(module_path, attribute)
        return self._found[key]

    def require_allowed(self, module_path: str, attribute: str) -> None:
        """Require an attribute of a module to be such that it may be imported; imports nothing.

        Raises:
            ImportRefusedError: it may not.
        """
        where = f"{module_path}:{attribute}"
        if not _is_dotted_name(module_path) or not _is_name(attribute):
            raise ImportRefusedError(
                f"{where}: give a module and one name in it, without other dots or signs"
            )
        if not self.allows(module_path):
            how = self._how_to_allow(module_path.partition(".")[0])
            raise ImportRefusedError(
                f"{where}: the module is in no allowed package; if you trust it, {how}"
            )

    def _imported(self, module_path: str, attribute: str) -> AnAgent:
        where = f"{module_path}:{attribute}"
        self.require_allowed(module_path, attribute)
        module = _imported(where, module_path)
        found = vars(module).get(attribute)
        if found is None:
            raise ImportRefusedError(f"{where}: the module has no {attribute!r}")
        return self._checked(where, found)

    def _require_allowed_parents(self, name: str) -> None:
        parts = name.split(".")
        for length in range(1, len(parts)):
            parent = ".".join(parts[:length])
            if parent != _OURS and not self.allows(parent):
                raise ImportRefusedError(
                    f"{name!r} is allowed, but {parent!r} is not, whose code runs first; allow"
                    f" {parent!r}: {self._how_to_allow(parent)}"
                )

    def _checked(self, where: str, found: Any) -> AnAgent:
        if isinstance(found, Agent):
            agent: AnAgent = found
        elif inspect.isclass(found):
            self._require_own(where, [str(vars(found).get("__module__", ""))])
            agent = found
            try:
                signature_of(found)
            except RegistryError as error:
                raise ImportRefusedError(f"{where}: {error}") from error
        else:
            raise ImportRefusedError(
                f"{where} is {_kind(found)}; give an agent, made with @agent, or a class whose"
                " objects are agents"
            )
        self._require_own(where, modules_of(agent))
        return agent

    def _require_own(self, where: str, modules: Iterable[str]) -> None:
        for module in modules:
            if not self.allows(module):
                how = self._how_to_allow(module.partition(".")[0])
                raise ImportRefusedError(
                    f"{where} was written in {module!r}, which is in no allowed package; name it"
                    f" where it was written, and if you trust that package, {how}"
                )


def _imported(where: str, name: str) -> ModuleType:
    try:
        module: Any = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ImportRefusedError(
            f"{where}: importing the module failed with {type(error).__name__}: {error}"
        ) from error
    if not isinstance(module, ModuleType) or module.__name__ != name:
        raise ImportRefusedError(f"{where}: the module has put something else in its place")
    return module


def _is_dotted_name(name: str) -> bool:
    return all(map(_is_name, name.split(".")))


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier()


def _kind(found: Any) -> str:
    if isinstance(found, ModuleType):
        return f"the module {found.__name__}"
    if inspect.isroutine(found):
        return f"the function {getattr(found, '__name__', found)}"
    return f"a value of type {type(found).__name__}"
