"""A pool beside four other ways to choose a member, on virtual time.

`python -m benchmarks.balance`, a minute. Ten members with a capacity of 4 each; the median of a
call is 50 ms and its spread log-normal. Nothing is measured by a clock, so every run gives these
figures.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.figures import Figures, spread, write
from benchmarks.pool_simulation import CONTENDERS, Server, Simulation, Workload, ours
from benchmarks.tables import balance, shares
from benchmarks.testbed import machine

SEEDS = (1, 2, 3)
LOADS = (0.3, 0.45)
SHARE_LOADS = (0.3, 0.5, 0.7, 0.9)
CAPACITIES = (1, 2, 4)
CALLS = 20_000

MEMBERS = 10
CAPACITY = 4
SECONDS = 0.05
SLOW_SECONDS = 0.5
FAILING_SECONDS = 0.002
SIGMA = 0.5
MEAN_OVER_MEDIAN = 1.1331  # exp(sigma^2 / 2)


def always(seconds: float) -> Callable[[float], float]:
    return lambda _now: seconds


def slow_until(until: float) -> Callable[[float], float]:
    return lambda now: SLOW_SECONDS if now < until else SECONDS


def calls_per_second(capacity: int, load: float) -> float:
    """The rate at which members of this capacity together would be busy for this share."""
    return load * capacity / (SECONDS * MEAN_OVER_MEDIAN)


def workloads(load: float, calls: int) -> dict[str, Workload]:
    """The four workloads; `load` is the share of the pool's capacity if all were fast."""
    rate = calls_per_second(MEMBERS * CAPACITY, load)
    fast = Server(always(SECONDS), capacity=CAPACITY)
    slow = Server(always(SLOW_SECONDS), capacity=CAPACITY)
    failing = Server(always(FAILING_SECONDS), fails=True, capacity=CAPACITY)
    recovers = Server(slow_until(calls / rate / 3), capacity=CAPACITY)
    made = partial(Workload, calls_per_second=rate, calls=calls, sigma=SIGMA)
    half = MEMBERS // 2
    return {
        "one slow": made([slow] + [fast] * (MEMBERS - 1)),
        "half slow": made([slow] * half + [fast] * (MEMBERS - half)),
        "one failing fast": made([failing] + [fast] * (MEMBERS - 1)),
        "one that recovers": made([recovers] + [fast] * (MEMBERS - 1)),
    }


def p99_ms(workload: Workload, contender: str, seeds: Sequence[int]) -> Figures:
    """Milliseconds that one call in a hundred exceeds."""
    runs = [Simulation(workload, CONTENDERS[contender], seed).run() for seed in seeds]
    return spread([1000 * run.p99_seconds() for run in runs])


def share_of_capacity(load: float, calls: int, seeds: Sequence[int]) -> Mapping[str, Figures]:
    """The work of members of unlike capacity, by capacity, as a ratio to their part of it."""
    servers = [Server(always(SECONDS), capacity=capacity) for capacity in CAPACITIES]
    rate = calls_per_second(sum(CAPACITIES), load)
    runs = [Simulation(Workload(servers, rate, calls, SIGMA), ours, seed).run() for seed in seeds]
    ratios = [
        [
            sum(CAPACITIES) * done / capacity / calls
            for done, capacity in _by_capacity(run.successes)
        ]
        for run in runs
    ]
    return {
        str(capacity): spread([ratio[i] for ratio in ratios])
        for i, capacity in enumerate(CAPACITIES)
    }


def _by_capacity(successes: Sequence[int]) -> Sequence[tuple[int, int]]:
    return list(zip(successes, CAPACITIES, strict=True))


def main() -> None:
    described = machine()
    p99 = {
        str(load): {
            name: {contender: p99_ms(workload, contender, SEEDS) for contender in CONTENDERS}
            for name, workload in workloads(load, CALLS).items()
        }
        for load in LOADS
    }
    by_load = {str(load): share_of_capacity(load, CALLS, SEEDS) for load in SHARE_LOADS}
    write("balance", "python -m benchmarks.balance", described, p99_ms=p99, shares=by_load)
    print(balance(), shares(), sep="\n\n")


if __name__ == "__main__":
    main()
