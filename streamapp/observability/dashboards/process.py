"""The processes: version, processor, memory, files and garbage collection."""

from streamapp.observability.dashboards.dashboard import Dashboard, Panel, PanelKind, Query, Row
from streamapp.observability.dashboards.promql import increase, of_our_processes, series
from streamapp.observability.dashboards.words import UP

_LINE = "{{instance}} {{worker}}"
_PROCESS = "instance, worker"


def _gauge(metric: str) -> tuple[Query, ...]:
    return (Query(f"max by ({_PROCESS}) ({of_our_processes(metric)})", _LINE),)


def _rate(metric: str) -> tuple[Query, ...]:
    of_time = f"rate({metric}[$__rate_interval])"
    return (Query(f"sum by ({_PROCESS}) ({of_our_processes(of_time)})", _LINE),)


PROCESS = Dashboard(
    "process",
    "streamapp: process",
    "Have the processes what they need?",
    (),
    (
        Row(
            "Processes",
            (
                Panel(
                    "Versions",
                    "Which version of streamapp each worker runs.",
                    "none",
                    (Query(f"max by ({_PROCESS}, version) ({series('build_info')})", "runs"),),
                    PanelKind.TABLE,
                ),
                Panel(
                    "Up for",
                    "Time since the process has started.",
                    "s",
                    (
                        Query(
                            f"time() - max by ({_PROCESS})"
                            f" ({of_our_processes('process_start_time_seconds')})",
                            _LINE,
                        ),
                    ),
                ),
                Panel(
                    "Workers restarted",
                    "How often a supervisor has started a worker again that had ended.",
                    "short",
                    (
                        Query(
                            increase("worker_restarts_total", _PROCESS, over="$__range"),
                            "{{instance}} worker {{worker}}",
                        ),
                    ),
                ),
                Panel(
                    "Exporters that Kafka answers",
                    "Whether `streamapp exporter` knows of the stages that do not run.",
                    "none",
                    (Query(f"max by (instance) ({series('exporter_kafka_up')})", "{{instance}}"),),
                    PanelKind.STATE_TIMELINE,
                    words=UP,
                ),
                Panel(
                    "Processor",
                    "Seconds of processor time a second. An event loop has one core at most.",
                    "short",
                    _rate("process_cpu_seconds_total"),
                ),
                Panel(
                    "Memory",
                    "Resident memory.",
                    "bytes",
                    _gauge("process_resident_memory_bytes"),
                ),
                Panel(
                    "Open files",
                    "File descriptors, connections among them.",
                    "short",
                    _gauge("process_open_fds"),
                ),
                Panel(
                    "Garbage collections",
                    "Collections of all generations.",
                    "cps",
                    _rate("python_gc_collections_total"),
                ),
                Panel(
                    "Objects collected",
                    "Objects that were in cycles.",
                    "cps",
                    _rate("python_gc_objects_collected_total"),
                ),
                Panel(
                    "Objects that could not be collected",
                    "More than 0 is a leak.",
                    "cps",
                    _rate("python_gc_objects_uncollectable_total"),
                ),
            ),
        ),
    ),
)
