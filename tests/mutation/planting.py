"""Plants a mutant into a process that was forked with everything imported, and runs tests on it."""

import gc
import importlib.abc
import importlib.util
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, FunctionType, ModuleType

import pytest

from tests.mutation.mutants import Mutant

_REIMPORTED = ("streamapp", "examples", "benchmarks", "tests", "conftest", "test_")

OPTIONS = (
    "--hypothesis-profile=mutation",
    "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning",
)
"""Settings of pytest, here and where everything is imported again."""

Functions = dict[tuple[str, str, int], list[FunctionType]]


def functions_by_place(root: str) -> Functions:
    """All functions of this folder that exist: by file, qualified name and first line."""
    found: Functions = defaultdict(list)
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename.startswith(root):
            code = thing.__code__
            found[code.co_filename, code.co_qualname, code.co_firstlineno].append(thing)
    return found


def swap(mutant: Mutant, functions: Functions) -> bool:
    """Give functions that exist the code of the mutant; `False` if that cannot be done.

    Besides the function itself these are the inner ones that it has made already.
    """
    if mutant.function is None:
        return False
    name, line = mutant.function
    is_swapped = False
    for code in _codes(mutant.compiled()):
        is_outer = (code.co_qualname, code.co_firstlineno) == (name, line)
        if is_outer or code.co_qualname.startswith(f"{name}.<locals>."):
            known = functions.get((code.co_filename, code.co_qualname, code.co_firstlineno), [])
            try:
                for function in known:
                    function.__code__ = code
            except ValueError:  # it closes over something else than before
                return False
            is_swapped |= is_outer and bool(known)
    return is_swapped


def run(items: Sequence[pytest.Item]) -> str | None:
    """Run tests that were collected, up to the first that fails; its id."""
    watch = _Watch()
    manager = items[0].config.pluginmanager
    manager.register(watch)
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        if watch.failed is not None:
            break
    return watch.failed


def run_imported_anew(mutant: Mutant, tests: Sequence[str]) -> str | None:
    """Import everything of the project again, the mutant in its place, and run these tests."""
    for name in [name for name in sys.modules if name.startswith(_REIMPORTED)]:
        if not name.startswith("tests.mutation"):
            del sys.modules[name]
    sys.meta_path.insert(0, _Finder(mutant))
    watch = _Watch()
    options = ["-x", "-q", "-p", "no:cacheprovider", "--capture=no", *OPTIONS]
    code = pytest.main([*options, *tests], plugins=[watch])
    return watch.failed or (None if code == pytest.ExitCode.OK else f"exit {code}")


def give_up_terminal() -> None:
    """Write nothing: the process that forked this one tells what happened."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for file in (0, 1, 2):
        os.dup2(nowhere, file)


class _Watch:
    """Attributes:
    failed: id of the first test that failed.
    """

    def __init__(self) -> None:
        self.failed: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module as its mutant."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def find_spec(self, fullname: str, *_where: object) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        code = self._mutant.compiled()
        module.__file__ = code.co_filename
        exec(code, module.__dict__)  # noqa: S102 - the module itself, with one change


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
