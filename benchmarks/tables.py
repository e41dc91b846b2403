"""Tables of the documents, made of the figures that the benchmarks keep."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.contenders import CONTENDERS
from benchmarks.figures import cell, read
from benchmarks.plan import Load, Plan, measured, plan
from benchmarks.report import AHEAD_OF, aims

WIDTH = 100

Rows = Iterable[Sequence[str]]


def table(head: Sequence[str], rows: Rows) -> str:
    """A table in Markdown: the first column to the left, the others to the right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured_on(figures: Mapping[str, Any], more: str = "") -> str:
    """When, where and with what something was measured."""
    machine = figures["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    text = (
        f"Measured by `{figures['command']}` on {machine['date']}: {machine['cores']} cores shared"
        f" by clients and broker, load average {machine['load_average_before']:g} before,"
        f" {machine['system']}, Python {machine['python']}, {packages}. {more}"
    )
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def run_facts() -> str:
    latest = read("latest")
    settings = latest["settings"]
    return measured_on(
        latest,
        f"{settings['records']:,} records of 221 bytes, {settings['keys']:,} keys,"
        f" {settings['runs']} runs each after one to warm up.",
    )


def beside_the_loop() -> str:
    peers = read("latest")["peers"]
    own = [name for name in peers if name.startswith(("hand_loop.", "streamapp."))]
    aims = {one.name: f"{one.aim_by_cpu:g}" for one in CONTENDERS if one.aim_by_cpu}
    head = ("contender", "records/s, wall", "per CPU second", "CPU µs", "peak MB", "ratio by CPU")
    rows = [(*_contender(name, peers[name]), aims.get(name, "")) for name in own]
    return table((*head, "by wall", "aim by CPU"), rows)


def playback() -> str:
    peers = read("latest")["peers"]
    own = [name for name in peers if name.startswith("playback.")]
    head = ("form", "records/s, wall", "per CPU second", "CPU µs", "peak MB", "ratio by CPU")
    return table((*head, "by wall"), [_contender(name, peers[name]) for name in own])


def peers() -> str:
    """How far ahead of each peer `streamapp.sync` is, and what the peer does not keep."""
    found = read("latest")["peers"]
    rows = []
    for name, peer in found.items():
        if "ahead_by_wall" not in peer:
            continue
        wall, cpu = aims(name)
        notes = "; ".join(filter(None, (peer["findings"], AHEAD_OF[name].lacks)))
        rows.append(
            (
                name,
                f"{peer['records']:,}",
                f"{peer['records_per_wall_second']['median']:,.0f}",
                f"{peer['records_per_cpu_second']['median']:,.0f}",
                f"{peer['peak_rss_mb']['median']:.0f}",
                cell(peer["ahead_by_wall"], ".2f"),
                wall,
                cell(peer["ahead_by_cpu"], ".2f"),
                cpu,
                notes,
            )
        )
    head = ("peer", "records", "records/s, wall", "per CPU second", "peak MB")
    ahead = ("ahead by wall", "aim", "ahead by CPU", "aim", "what it does not keep")
    return table((*head, *ahead), rows)


def waiting() -> str:
    kept = read("waiting")
    rows = [
        (
            name,
            cell(figures["work_seconds"], ".3f"),
            "" if "hot key" in name else cell(figures["share_of_ideal"], ".2f"),
            cell(figures.get("others_seconds"), ".3f") if "hot key" in name else "",
            cell(figures.get("committed_seconds"), ".3f"),
        )
        for name, figures in kept["sides"].items()
    ]
    head = ("", "all done, s", "share of the ideal", "all but the hot key, s", "committed, s")
    return f"{measured_on(kept)}\n\n{table(head, rows)}"


def latency() -> str:
    kept = read("latency")
    keys = ("p50_ms", "p99_ms", "p99.9_ms", "max_ms", "cpu_seconds")
    rows = [
        (name.replace(".", ", "), *(cell(figures[key], ".1f") for key in keys))
        for name, figures in kept["sides"].items()
    ]
    compared = ("p50_ms", "p99_ms", "cpu_seconds")
    to_loops = kept["ratio_to_hand_loop"]
    ratios = [
        (f"{stages}", *(cell(to_loops[f"{key}.{stages}"], ".2f") for key in compared))
        for stages in (1, 4)
    ]
    head = ("side, stages", "p50 ms", "p99 ms", "p99.9 ms", "most ms", "CPU s of the service")
    to_loop = ("stages: streamapp to loops", "p50", f"p99, at most {kept['settings']['target']:g}")
    return "\n\n".join(
        (measured_on(kept), table(head, rows), table((*to_loop, "CPU of the service"), ratios))
    )


def workers() -> str:
    return _varied(
        "workers",
        ("workers", "records/s together", "CPU µs of workers", "CPU µs of the broker"),
        {
            "records_per_second": ",.0f",
            "worker_us_per_record": ".2f",
            "broker_us_per_record": ".2f",
        },
    )


def partitions() -> str:
    return _varied(
        "partitions",
        ("partitions", "CPU µs for each record", "CPU share at rest", "peak MB"),
        {"worker_us_per_record": ".2f", "idle_cpu_share": ".4f", "peak_rss_mb": ".0f"},
    )


def lag() -> str:
    rows = [
        (f"{int(records):,}", f"{figures['peak_rss_mb']['median']:.0f}")
        for records, figures in read("scale")["lag"].items()
    ]
    return table(("records of lag", "peak MB of a worker"), rows)


def bundles() -> str:
    """What a small pipeline costs with a consumer of its own, and in a bundle."""
    found = read("bundles")
    kinds = {"bundle": "in a bundle", "apart": "each with its own consumer"}
    rows = [
        (
            f"{one['pipelines']:,}",
            kinds[one["kind"]],
            f"{one['sockets']:,.0f}",
            f"{one['rss_mb']:.0f}",
            f"{one['start_cpu_seconds']:.1f}",
            f"{one['idle_cpu_share']:.2f}",
            f"{one['trickle_cpu_share']:.2f}",
            f"{one['seconds_behind']:.1f}",
        )
        for one in found["runs"]
    ]
    head = ("pipelines", "", "sockets", "MB", "CPU s to start", "CPU share at rest")
    busy = ("with a record a second each", "seconds behind at the end")
    return "\n\n".join((measured_on(found), table((*head, *busy), rows)))


def scale_facts() -> str:
    return measured_on(read("scale"))


def _varied(section: str, head: Sequence[str], columns: Mapping[str, str]) -> str:
    rows = [
        (varied, *(cell(figures[key], form) for key, form in columns.items()))
        for varied, figures in read("scale")[section].items()
    ]
    return table(head, rows)


def _contender(name: str, peer: Mapping[str, Any]) -> Sequence[str]:
    return (
        name,
        f"{peer['records_per_wall_second']['median']:,.0f}",
        cell(peer["records_per_cpu_second"], ",.0f"),
        f"{peer['cpu_us_per_record']['median']:.2f}",
        f"{peer['peak_rss_mb']['median']:.0f}",
        cell(peer.get("ratio_by_cpu"), ".2f"),
        cell(peer.get("ratio_by_wall"), ".2f"),
    )


def executions() -> str:
    """What an execution in process takes, and what of it is not the agents' own."""
    kept = read("execute")
    found = kept["in_process"]
    alone = found["agents alone"]["median"]
    rows = [
        (name, cell(figures, ".1f"), f"{figures['median'] - alone:.1f}")
        for name, figures in found.items()
    ]
    head = ("four plain stages", "CPU µs", f"beyond the agents, at most {kept['target_us']:g}")
    return "\n\n".join((measured_on(kept), table(head, rows)))


def surrounded() -> str:
    """What stands around the agent of a stage, or within it, takes in the runtime."""
    found = read("execute")["in_a_segment"]
    plain = found["nothing more"]["median"]
    rows = [
        (name, cell(figures, ".2f"), f"{figures['median'] - plain:+.2f}")
        for name, figures in found.items()
    ]
    return table(("one stage of the runtime, with", "CPU µs for each record", "more"), rows)


def planned() -> str:
    """The plan for one stage and for four."""
    cost = measured()
    one, four = (plan(Load(stages=stages), cost) for stages in (1, 4))
    rows = [
        (name.replace("_", " "), f"{getattr(one, name):,}", f"{getattr(four, name):,}")
        for name in Plan.__slots__
    ]
    return table(("what it needs", "one stage", "four stages"), rows)


def inputs() -> str:
    """What the plan is made from."""
    cost = measured()
    rows = [
        ("W", "CPU µs of a worker for each record and stage", f"{cost.worker_us:.2f}"),
        ("B", "CPU µs of a broker, written once and read once", f"{cost.broker_us:.2f}"),
        ("P", "records/s of one partition", f"{cost.partition_rate:,.0f}"),
        ("M", "peak MB of a worker", f"{cost.worker_mb:.0f}"),
    ]
    return table(("", "what", "measured"), rows)


def balance() -> str:
    """The p99 of a pool beside other ways to choose."""
    p99 = read("balance")["p99_ms"]
    contenders = next(iter(next(iter(p99.values())).values()))
    rows = [
        (f"{name}, {float(load):.0%}", *(cell(figures[each], ",.0f") for each in contenders))
        for load, workloads in p99.items()
        for name, figures in workloads.items()
    ]
    return table(("p99 in ms, load", *contenders), rows)


def shares() -> str:
    """How members of unlike capacity share the work."""
    by_load = read("balance")["shares"]
    capacities = next(iter(by_load.values()))
    rows = [
        (f"{float(load):.0%}", *(cell(figures[capacity], ".2f") for capacity in capacities))
        for load, figures in by_load.items()
    ]
    return table(("load", *(f"capacity {capacity}" for capacity in capacities)), rows)


def registry() -> str:
    """What a registry takes, by the number of different schemas."""
    figures = read("registry")
    head = ("schemas", "load, ms", "MB", "first suggestion, ms", "others, ms", "assembly, ms")
    rows = [
        (
            f"{int(count):,}",
            cell(one["load"], ",.0f"),
            f"{one['memory_mb']:.0f}",
            cell(one["first"], ",.0f"),
            cell(one["others"], ".1f"),
            cell(one["assemble"], ",.0f"),
        )
        for count, one in figures["by_schemas"].items()
    ]
    facts = measured_on(
        figures,
        f"CPU time. {figures['agents']:,} agents; comparing two schemas that are prepared takes"
        f" {cell(figures['check_us'], '.1f')} µs.",
    )
    return f"{facts}\n\n{table(head, rows)}"


def metering() -> str:
    """What metrics cost for each record, and what a scrape costs."""
    figures = read("metering")
    head = (
        "agent", "without metering, µs", "with it, µs", "more", "the calls alone, µs", "share",
    )  # fmt: skip
    rows = [
        (
            mode,
            cell(one["without"], ".2f"),
            cell(one["with"], ".2f"),
            f"{one['more_percent']:+.1f}%",
            cell(one["own_us"], ".3f"),
            f"{one['own_us']['median'] / one['without']['median']:.1%}",
        )
        for mode, one in figures["modes"].items()
    ]
    scraped, scrape = figures["scraped"], figures["scrape_ms"]["median"]
    facts = measured_on(
        figures,
        f"CPU time for each record, {figures['rounds']} rounds. A scrape of"
        f" {scraped['stages']} stages with {scraped['partitions']} partitions each takes"
        f" {cell(figures['scrape_ms'], '.1f')} ms, every {scraped['every_seconds']} seconds"
        f" {scrape / 10 / scraped['every_seconds']:.2f} % of a core.",
    )
    return f"{facts}\n\n{table(head, rows)}"


def catalogue() -> str:
    """What a configuration file takes, by its size."""
    figures = read("catalogue")
    head = (
        "agents", "pipelines", "file, MB", "values", "read, s", "MB", "index, s",
        "suggestion, ms", "looked at", "choice, ms", "looked at", "lint, s", "MB",
    )  # fmt: skip
    rows = [
        (
            f"{one['agents']:,.0f}",
            f"{one['pipelines']:,.0f}",
            f"{one['file_mb']:.1f}",
            f"{one['values']:,.0f}",
            f"{one['read_s']:.2f}",
            f"{one['read_mb']:.0f}",
            f"{one['index_s']:.2f}",
            f"{one['suggest_ms']:.1f}",
            f"{one['suggest_looked_at']:,.0f}",
            f"{one['choose_ms']:.0f}",
            f"{one['choose_looked_at']:,.0f}",
            f"{one['lint_s']:.0f}",
            f"{one['lint_mb']:.0f}",
        )
        for one in figures["by_share"].values()
    ]
    told = figures["commands"]
    facts = measured_on(
        figures,
        "CPU time, and the largest memory beyond that of the empty process. Whole commands at the"
        f" full size, by the clock: `pipelines list` {told['list_s']:.1f} s, `pipelines show`"
        f" {told['show_s']:.1f} s, `config lint --no-import` {told['no_import_s']:.1f} s.",
    )
    return f"{facts}\n\n{table(head, rows)}"
