"""What more workers, more lag and more partitions cost.

`python -m benchmarks.scale [--runs N] [--records N] [--lags N ...] [--partitions N ...]`:
throughput and CPU time of one worker and of two in one group, memory of a worker with a lag of
10 thousand to 10 million records, CPU time for each record and at rest with 4 to 400 partitions.
"""

import argparse
import asyncio
from collections import defaultdict
from typing import Any

from benchmarks.figures import cell, spread, write
from benchmarks.scale_runs import ScaleBench
from benchmarks.testbed import broker_status, machine
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.local_kafka.broker import BrokerStatus
from streamapp.settings import KafkaSettings

WORKERS = (1, 2)
LAG_SECONDS = 8.0
PARTITION_RECORDS = 200_000

Runs = dict[str, dict[str, list[dict[str, float]]]]
"""Of each section, by what was varied."""


async def measure(status: BrokerStatus, arguments: argparse.Namespace) -> Runs:
    servers = status.state.bootstrap_servers
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=servers)).admin()
    await admin.start()
    found: Runs = defaultdict(lambda: defaultdict(list))

    def take(section: str, varied: int, figures: dict[str, float]) -> None:
        shown = ", ".join(f"{key} {value:,.4g}" for key, value in figures.items())
        print(f"{section} {varied:,}: {shown}", flush=True)
        found[section][str(varied)].append(figures)

    try:
        bench = ScaleBench(status, admin)
        for partitions in arguments.partitions:
            await bench.fill(f"partitions.{partitions}", PARTITION_RECORDS, partitions)
        for _ in range(arguments.runs):
            for partitions in arguments.partitions:
                source = f"partitions.{partitions}"
                figures = await bench.per_partition(source, PARTITION_RECORDS, partitions)
                take("partitions", partitions, figures)
        await bench.fill("workers", arguments.records)
        for _ in range(arguments.runs):
            for workers in WORKERS:
                figures = await bench.throughput("workers", arguments.records, workers)
                take("workers", workers, figures)
        for lag in arguments.lags:
            await bench.fill(f"lag.{lag}", lag)
            take("lag", lag, await bench.memory(f"lag.{lag}", lag, LAG_SECONDS))
            await admin.delete_topics([f"lag.{lag}"])
    finally:
        await admin.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="memory is measured once")
    parser.add_argument("--records", type=int, default=2_000_000, help="that workers share")
    parser.add_argument("--lags", type=int, nargs="+", default=[10_000, 1_000_000, 10_000_000])
    parser.add_argument("--partitions", type=int, nargs="+", default=[4, 40, 400])
    arguments = parser.parse_args()
    described = machine()
    with broker_status() as status:
        runs = asyncio.run(measure(status, arguments))
    sections: dict[str, Any] = {
        section: {
            varied: {key: spread([run[key] for run in own]) for key in own[0]}
            for varied, own in by_varied.items()
        }
        for section, by_varied in runs.items()
    }
    for section, by_varied in sections.items():
        for varied, figures in by_varied.items():
            shown = (f"{key} {cell(own, ',.4g')}" for key, own in figures.items())
            print(f"{section} {varied}:", "; ".join(shown))
    write("scale", "python -m benchmarks.scale", described, **sections, runs=runs)


if __name__ == "__main__":
    main()
