"""Expositions of several workers, joined: nothing lost, nothing twice, and Prometheus reads it."""

from collections import Counter
from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain
from prometheus_client.samples import Sample

from streamapp.supervisor.exposition import ACCEPT, join_families, parse_families

NAMES = ("streamapp_lag_records", "streamapp_busy_lanes", "python_info")
label_values = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53).map(float)
series = st.dictionaries(st.sampled_from(["a", "b", "stage"]), label_values, max_size=3)


@st.composite
def families(draw: st.DrawFn) -> list[Metric]:
    """What one worker exports: gauges, each series once."""
    found = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        family = Metric(name, f"About {name}.", "gauge")
        rows = draw(st.lists(st.tuples(series, values), max_size=4))
        by_labels = {tuple(sorted(labels.items())): value for labels, value in rows}
        for labels, value in by_labels.items():
            family.samples.append(Sample(name, dict(labels), value))
        found.append(family)
    return found


class Standing:
    def __init__(self, found: Iterable[Metric]) -> None:
        self.found = found

    def collect(self) -> Iterable[Metric]:
        return self.found


def written(found: Iterable[Metric], accept: str) -> str:
    encode, _ = choose_encoder(accept)
    return encode(Standing(found)).decode()


def rows(found: Iterable[Metric]) -> Counter[tuple[str, frozenset[tuple[str, str]], float]]:
    return Counter(
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for family in found
        for sample in family.samples
    )


@given(st.dictionaries(st.integers(0, 12), families(), max_size=4), families())
def test_every_series_of_every_worker_is_there_once_under_its_number(
    by_worker: Mapping[int, list[Metric]], own: list[Metric]
) -> None:
    expected = Counter(
        (sample.name, frozenset({**sample.labels, "worker": str(number)}.items()), sample.value)
        for number, found in by_worker.items()
        for family in found
        for sample in family.samples
    ) + rows(own)
    read_by_workers = {n: parse_families(written(found, ACCEPT)) for n, found in by_worker.items()}
    joined = join_families(read_by_workers, own)
    assert rows(joined) == expected
    assert len({family.name for family in joined}) == len(joined)
    text = written(joined, "text/plain")
    assert max(Counter(_type_lines(text)).values(), default=1) == 1
    assert rows(parse_plain(text)) == expected
    again = list(parse_open(written(joined, ACCEPT)))  # type: ignore[no-untyped-call]  # the same
    assert rows(again) == expected


def _type_lines(text: str) -> list[str]:
    return [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]


def test_help_type_and_unit_survive() -> None:
    family = Metric("streamapp_age_seconds", "How old.", "gauge", "seconds")
    family.samples.append(Sample("streamapp_age_seconds", {"stage": "s"}, 2.5))
    joined = join_families({3: parse_families(written([family], ACCEPT))})
    assert written(joined, ACCEPT) == (
        "# HELP streamapp_age_seconds How old.\n"
        "# TYPE streamapp_age_seconds gauge\n"
        "# UNIT streamapp_age_seconds seconds\n"
        'streamapp_age_seconds{stage="s",worker="3"} 2.5\n'
        "# EOF\n"
    )
