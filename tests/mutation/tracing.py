"""Which tests reach which lines, and how long each test takes."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import coverage
import pytest

from tests.mutation.mutants import ROOT, Mutant

MAX_SECONDS = 5.0
"""Beside those of its room, tests of one mutant are chosen until they take this long together."""


@dataclass(slots=True)
class Trace:
    """What the tests did once without a mutant.

    Attributes:
        lines: tests by file and line; the empty name stands for imports.
        seconds: how long each test took.
        failed: tests that fail without a mutant.
    """

    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def is_imported(self, mutant: Mutant) -> bool:
        """Whether its line runs when modules are imported."""
        return "" in self.lines.get(mutant.file, {}).get(mutant.line, [])

    def tests_of(self, mutant: Mutant, first: Sequence[str]) -> list[str]:
        """The tests that reach a mutant, those in `first` and the quick ones before others."""
        lines = self.lines.get(mutant.file, {})
        if mutant.function is None or self.is_imported(mutant):
            names = {name for names in lines.values() for name in names}
            names |= _tests_that_import(mutant, self.seconds)
        else:
            names = set(lines.get(_line_that_runs(mutant, lines), []))
        names &= self.seconds.keys()
        own = {name for name in names if name.startswith(tuple(first))}
        others = sorted(names - own, key=lambda name: (self.seconds[name], name))
        chosen = sorted(own, key=lambda name: (self.seconds[name], name))
        left = MAX_SECONDS
        for name in others:
            left -= self.seconds[name]
            if left < 0:
                break
            chosen.append(name)
        return chosen


def measuring() -> coverage.Coverage:
    """Coverage of the package, from the imports on."""
    measured = coverage.Coverage(
        data_file=None, source=[str(ROOT / "streamapp")], config_file=False
    )
    measured.start()
    return measured


def traced(items: Sequence[pytest.Item], measured: coverage.Coverage) -> Trace:
    """Run all tests once while they are measured."""
    trace = Trace()
    failures = _Failures(trace.failed)
    items[0].config.pluginmanager.register(failures)
    for item, following in zip(items, [*items[1:], None], strict=True):
        measured.switch_context(item.nodeid)
        start = time.perf_counter()
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        trace.seconds[item.nodeid] = time.perf_counter() - start
    measured.stop()
    data = measured.get_data()
    for file in data.measured_files():
        trace.lines[file.removeprefix(f"{ROOT}/")] = data.contexts_by_lineno(file)
    return trace


def _line_that_runs(mutant: Mutant, lines: Mapping[int, object]) -> int:
    """Its line, or the line at which its expression begins."""
    assert mutant.function is not None
    return max((line for line in lines if mutant.function[1] <= line <= mutant.line), default=0)


def _tests_that_import(mutant: Mutant, tests: Mapping[str, float]) -> set[str]:
    """Tests in files that name the module of the mutant."""
    module = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    by_file: dict[str, set[str]] = defaultdict(set)
    for test in tests:
        by_file[test.partition("::")[0]].add(test)
    naming = (file for file in by_file if module in (ROOT / file).read_text())
    return {test for file in naming for test in by_file[file]}


class _Failures:
    def __init__(self, names: list[str]) -> None:
        self._names = names

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._names.append(report.nodeid)
