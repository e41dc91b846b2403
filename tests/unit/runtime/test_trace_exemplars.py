"""The histograms name a trace for each bucket, where traces are made and kept."""

import asyncio
from collections.abc import Sequence

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open

from streamapp.middleware.sampled import sampled_provider
from streamapp.middleware.traces import TraceStages
from streamapp.observability.exemplars import AGE, DURATION, Exemplars
from streamapp.observability.exporter import StageCollector
from streamapp.pipeline.agent import agent
from streamapp.service import Service
from streamapp.supervisor.exposition import ACCEPT, join_families, parse_families
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage

SLOW, QUICK = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x0AF7651916CD43DD8448EB211C80319C
CANARY = "canary"
PROVIDER = sampled_provider(0.0)


@agent(name="waits")
async def waits(value: bytes) -> bytes:
    await asyncio.sleep(int(value.split()[1]))
    return value


async def exposed(accept: str, *, sampled: bool = True) -> str:
    """What is scraped after two records, one of which took three seconds, and one none."""
    exemplars = Exemplars()
    broker = await broker_for("p")
    for trace, seconds in ((SLOW, 3), (QUICK, 0)):
        header = ("traceparent", f"00-{trace:032x}-00f067aa0ba902b7-{int(sampled):02x}".encode())
        record = (f"{CANARY} key {seconds}".encode(), f"{CANARY} {seconds}".encode())
        await broker.write("p-in", record, headers=(header, (CANARY, b"header")))
    traces = TraceStages(PROVIDER, exemplars)
    service = Service(broker, [one_stage(waits)], clock=broker.clock, middleware=[traces])
    await service.run(until_end=True)
    collector = StageCollector(broker.clock, exemplars)
    for metrics in service.metrics:
        collector.add(metrics)
    text: str = choose_encoder(accept)[0](collector).decode()
    return text


def exemplars_in(text: str, name: str) -> list[tuple[str, float, float]]:
    """Trace, value and upper bound of each bucket of a histogram that has an exemplar."""
    found = parse_open(text)  # type: ignore[no-untyped-call]  # untyped library
    return [
        (sample.exemplar.labels["trace_id"], sample.exemplar.value, float(sample.labels["le"]))
        for family in found
        for sample in family.samples
        if sample.exemplar and family.name == name
    ]


@in_virtual_time
async def test_a_bucket_names_the_trace_of_its_last_record_and_nothing_of_the_record() -> None:
    text = await exposed(ACCEPT)
    found = {name: exemplars_in(text, name) for name in (DURATION, AGE)}
    slow, quick = f"{SLOW:032x}", f"{QUICK:032x}"
    assert found[DURATION] == [(quick, 0.0, 0.0), (slow, 3.0, 4.194303)]
    assert [(trace, value) for trace, value, _ in found[AGE]] == [(quick, 0.0), (slow, 3.0)]
    assert all(value <= bound for _, value, bound in found[AGE])
    assert CANARY not in text


@in_virtual_time
async def test_the_plain_format_has_no_exemplars() -> None:
    assert "trace_id" not in await exposed("text/plain")


@in_virtual_time
async def test_a_trace_that_is_not_kept_is_not_named() -> None:
    assert "trace_id" not in await exposed(ACCEPT, sampled=False)


@in_virtual_time
async def test_a_supervisor_passes_them_on() -> None:
    of_worker = await exposed(ACCEPT)
    families = join_families({1: parse_families(of_worker)})
    joined = choose_encoder(ACCEPT)[0](_Standing(families)).decode()
    for name in (DURATION, AGE):
        assert exemplars_in(joined, name) == exemplars_in(of_worker, name) != []


class _Standing:
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families
