"""Collects the tests once, then forks a process for each mutant, a few side by side."""

import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.mutation import planting
from tests.mutation.mutants import ROOT, Mutant
from tests.mutation.tracing import Trace, measuring, traced

MEMORY_BYTES = 6 << 30
TRACE_SECONDS = 1800.0
TIMED_OUT = "(timed out)"
BROKEN = "(the process ended)"

settings.register_profile(
    "mutation",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=30,
    phases=[Phase.explicit, Phase.generate],
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant.

    Attributes:
        mutant: it.
        killer: the test that failed; `None` when it survived.
        tests: how many tests reach it.
    """

    mutant: Mutant
    killer: str | None
    tests: int


Choice = Callable[[Mutant, Trace], Sequence[str]]


class Mutation:
    """A plugin that plants mutants where pytest would run tests.

    Args:
        mutants: to plant.
        choose: the tests for a mutant, the likeliest killers first.
        is_traced: whether to run all tests first, to learn which of them reach what.
        told: called with each result as it comes.
    """

    def __init__(
        self,
        mutants: Sequence[Mutant],
        choose: Choice,
        *,
        is_traced: bool,
        told: Callable[[Result], None],
    ) -> None:
        self.trace = Trace()
        self._mutants = mutants
        self._choose = choose
        self._told = told
        self._measured = measuring() if is_traced else None

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        if self._measured is not None:
            measured = self._measured
            fork = _Fork(lambda: traced(session.items, measured), TRACE_SECONDS)
            self._measured.stop()
            self.trace = _finished(fork.wait())
        else:
            self.trace = Trace(seconds=dict.fromkeys(items, 0.0))
        self._check_imports()
        functions = planting.functions_by_place(str(ROOT / "streamapp"))
        _side_by_side(self._plan(mutant, items, functions) for mutant in self._mutants)
        return True

    def _check_imports(self) -> None:
        """Import everything anew without a change: else every mutant would seem to be found.

        Raises:
            pytest.UsageError: the tests fail then.
        """
        file = self._mutants[0].file
        source = (ROOT / file).read_text()
        unchanged = Mutant(
            file,
            "unchanged",
            0,
            None,
            lambda: compile(source, str(ROOT / file), "exec", dont_inherit=True),
        )
        names = self._choose(unchanged, self.trace)[:20]
        failed = _Fork(lambda: planting.run_imported_anew(unchanged, names), 120.0).wait()
        if failed is not None:
            raise pytest.UsageError(f"imported a second time, without a mutant, {failed} fails")

    def _plan(
        self,
        mutant: Mutant,
        items: Mapping[str, pytest.Item],
        functions: planting.Functions,
    ) -> "_Planned":
        names = self._choose(mutant, self.trace)

        def work() -> str | None:
            killer = None
            swapped = planting.swap(mutant, functions)
            if swapped:
                killer = planting.run([items[name] for name in names])
            if not swapped or (killer is None and self.trace.is_imported(mutant)):
                killer = planting.run_imported_anew(mutant, names)
            return killer

        def told(killer: str | None) -> None:
            self._told(Result(mutant, killer, len(names)))

        expected = sum(self.trace.seconds[name] for name in names)
        return _Planned(work if names else None, 10 + 5 * expected, told)


def _finished(found: Trace | str) -> Trace:
    """What the tests reach.

    Raises:
        pytest.UsageError: they did not all run.
    """
    if isinstance(found, str):
        raise pytest.UsageError(
            f"the tests did not all run without a mutant {found}: they may take"
            f" {TRACE_SECONDS:.0f} s; try again on a machine with less to do"
        )
    return found


@dataclass(frozen=True, slots=True)
class _Planned:
    work: Callable[[], str | None] | None
    seconds: float
    told: Callable[[str | None], None]


def _side_by_side(plans: Iterator[_Planned]) -> None:
    """Work off the plans in as many processes as there are cores."""
    running: list[tuple[_Fork, _Planned]] = []
    cores = os.cpu_count() or 1
    is_left = True
    while is_left or running:
        while is_left and len(running) < cores:
            plan = next(plans, None)
            if plan is None:
                is_left = False
            elif plan.work is None:
                plan.told(None)
            else:
                running.append((_Fork(plan.work, plan.seconds), plan))
        for fork, plan in list(running):
            if fork.has_ended():
                running.remove((fork, plan))
                plan.told(fork.result())
        time.sleep(0.005)


class _Fork:
    """A process that does some work, with a deadline, and hands back what it found."""

    def __init__(self, work: Callable[[], Any], seconds: float) -> None:
        self._answer = Path(tempfile.mkstemp(prefix="mutant-")[1])
        self._deadline = time.monotonic() + seconds
        self._is_late = False
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self._work(work)

    def _work(self, work: Callable[[], Any]) -> None:
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            planting.give_up_terminal()
            self._answer.write_bytes(pickle.dumps(work()))
        finally:
            os._exit(0)

    def has_ended(self) -> bool:
        """Look whether it has; end it when it is late."""
        if os.waitpid(self._pid, os.WNOHANG)[0]:
            return True
        if time.monotonic() < self._deadline:
            return False
        self._is_late = True
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        return True

    def result(self) -> Any:
        answer = self._answer.read_bytes()
        self._answer.unlink()
        if self._is_late:
            return TIMED_OUT
        return pickle.loads(answer) if answer else BROKEN  # noqa: S301 - of our own process

    def wait(self) -> Any:
        while not self.has_ended():
            time.sleep(0.05)
        return self.result()


def collect_and_run(mutation: Mutation, tests: Sequence[str]) -> None:
    """Let pytest collect these tests, and plant the mutants instead of running them."""
    options = ["-q", "-p", "no:cacheprovider", "--capture=no", "-m", "not kafka"]
    options += ["--no-summary", "--no-header", *planting.OPTIONS]
    pytest.main([*options, *tests], plugins=[mutation])
