"""What a load needs, from measured figures: the numbers of docs/scaling.md.

`python -m benchmarks.plan [--records-per-second N] [--stages N] [--busy SHARE] ...` prints the plan
for a load of one's own.
"""

import argparse
import math
from dataclasses import dataclass

from benchmarks.figures import read

RECORD_BYTES = 221
HOURS_A_MONTH = 730


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is to be carried, and how full machines may be.

    Attributes:
        records_per_second: at the peak, into the first stage.
        stages: topics that each record is written to on its way, with one stage each.
        record_bytes: of a value.
        replicas: copies of each record.
        busy: share of a core that is used at the peak; the rest is for catching up and for losses.
        broker_cores: of one broker.
        broker_mb_per_second: what its disks and its network take, for good.
        partitions_per_worker: at the peak, so that a lost worker's share can be spread.
    """

    records_per_second: int = 333_000
    stages: int = 1
    record_bytes: int = RECORD_BYTES
    replicas: int = 3
    busy: float = 0.6
    broker_cores: int = 8
    broker_mb_per_second: int = 200
    partitions_per_worker: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What this machine showed.

    Attributes:
        worker_us: CPU microseconds of a worker for each record and stage.
        broker_us: of a broker, for a record that is written once and read once.
        partition_rate: records a second of one partition, which one worker at a time works on.
        worker_mb: peak memory of a worker.
    """

    worker_us: float
    broker_us: float
    partition_rate: float
    worker_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the load needs, for all stages together unless the name says otherwise."""

    workers: int
    partitions_per_stage: int
    worker_memory_gb: float
    brokers: int
    written_mb_per_second_and_broker: float
    cores: int
    core_hours_per_month: int


def measured() -> Measured:
    """From the last runs of `benchmarks.scale` and `benchmarks.run`."""
    scale, peers = read("scale"), read("latest")["peers"]
    one = scale["workers"]["1"]
    return Measured(
        worker_us=one["worker_us_per_record"]["median"],
        broker_us=one["broker_us_per_record"]["median"],
        partition_rate=peers["streamapp.1_partition"]["records_per_wall_second"]["median"],
        worker_mb=max(lag["peak_rss_mb"]["median"] for lag in scale["lag"].values()),
    )


def plan(load: Load, cost: Measured) -> Plan:
    """What the load needs."""
    rate, busy = load.records_per_second, load.busy
    workers_per_stage = math.ceil(rate * cost.worker_us / 1e6 / busy)
    least_partitions = math.ceil(rate / (cost.partition_rate * busy))
    partitions = max(workers_per_stage * load.partitions_per_worker, least_partitions)
    hops = load.stages + 1  # the source topic is written as well
    broker_cores = rate * hops * cost.broker_us / 1e6 * load.replicas / busy
    written_mb = rate * hops * load.record_bytes * load.replicas / 1e6
    brokers = max(
        load.replicas,
        math.ceil(broker_cores / load.broker_cores),
        math.ceil(written_mb / load.broker_mb_per_second),
    )
    workers = workers_per_stage * load.stages
    cores = workers + brokers * load.broker_cores
    return Plan(
        workers=workers,
        partitions_per_stage=partitions,
        worker_memory_gb=round(workers * cost.worker_mb / 1024, 1),
        brokers=brokers,
        written_mb_per_second_and_broker=round(written_mb / brokers, 1),
        cores=cores,
        core_hours_per_month=cores * HOURS_A_MONTH,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    defaults = Load()
    for name in Load.__slots__:
        value = getattr(defaults, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    wanted = Load(**vars(parser.parse_args()))
    found = plan(wanted, measured())
    for name in Plan.__slots__:
        print(f"{name.replace('_', ' ')}: {getattr(found, name):,}")


if __name__ == "__main__":
    main()
