import pytest

from benchmarks.plan import Load, Measured, plan

COST = Measured(worker_us=10.0, broker_us=2.0, partition_rate=50_000, worker_mb=100)


def test_workers_carry_the_load_at_the_share_that_may_be_busy() -> None:
    found = plan(Load(records_per_second=300_000, busy=0.6), COST)
    assert found.workers == 5  # 300,000 records of 10 µs are 3 cores


def test_each_stage_has_workers_of_its_own() -> None:
    one, four = (plan(Load(stages=stages), COST) for stages in (1, 4))
    assert four.workers == 4 * one.workers


def test_a_stage_has_partitions_for_its_workers_and_for_its_rate() -> None:
    many = plan(Load(records_per_second=300_000), COST)
    assert many.partitions_per_stage == 20  # four for each of five workers
    slow = Measured(worker_us=10.0, broker_us=2.0, partition_rate=5_000, worker_mb=100)
    assert plan(Load(records_per_second=300_000), slow).partitions_per_stage == 100


def test_brokers_hold_all_replicas_of_every_topic() -> None:
    small = plan(Load(records_per_second=1_000), COST)
    assert small.brokers == 3  # as many as there are replicas
    fast = Load(records_per_second=4_000_000, broker_cores=8, broker_mb_per_second=10_000)
    assert plan(fast, COST).brokers == 10  # 4,000,000 x 2 topics x 2 µs x 3 / 0.6 are 80 cores


def test_brokers_take_what_is_written() -> None:
    load = Load(records_per_second=1_000_000, record_bytes=200, broker_mb_per_second=100)
    assert plan(load, COST).brokers == 12  # 1,000,000 x 2 topics x 200 bytes x 3 are 1,200 MB


@pytest.mark.parametrize("rate", [1_000, 333_000, 4_000_000])
def test_cores_are_those_of_workers_and_brokers(rate: int) -> None:
    load = Load(records_per_second=rate)
    found = plan(load, COST)
    assert found.cores == found.workers + found.brokers * load.broker_cores
