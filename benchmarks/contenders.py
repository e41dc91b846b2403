"""The contenders: what each is compared with, and by how much streamapp should be ahead."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import load
from benchmarks.measure import PARTITIONS, Job
from streamapp.native_leaves import SWITCH

ROOT = Path(__file__).parents[1]
YARDSTICK = "hand_loop.aiokafka"
PLAIN_LOOP = "hand_loop.plain_json"
OURS = "streamapp.sync"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One side of a comparison.

    Attributes:
        name: its name in the table.
        beside: name of the contender it is compared with; `None` for a yardstick itself.
        module: the script that runs it.
        mode: argument of the script.
        environment: folder of the virtual environment that it runs in.
        partitions: number of partitions of its source and its outputs.
        keys: number of different keys that its records are drawn from.
        variables: variables of the environment that it has besides.
        aim_by_cpu: what its ratio by CPU should be, to what it is beside.
        max_records: number of records, if it is too slow for as many as the others have.
        lacks: features that it lacks, beside faults of its outputs.
    """

    name: str
    beside: str | None = YARDSTICK
    module: str
    mode: str = "sync"
    environment: str = ".venv"
    partitions: int = PARTITIONS
    keys: int = load.KEYS
    variables: Mapping[str, str] = field(default_factory=dict)
    aim_by_cpu: float | None = None
    max_records: int | None = None
    lacks: str = ""

    @property
    def is_playback(self) -> bool:
        """Whether it reads playback events instead of purchases."""
        return self.module == "playback_pipeline"

    @property
    def is_peer(self) -> bool:
        """Whether it is built on another library: what it fails to keep is noted, not an error."""
        return self.module.startswith("peers.")

    @property
    def is_to_beat(self) -> bool:
        """Whether `streamapp.sync` is compared with it."""
        return self.is_peer or self.name in (YARDSTICK, PLAIN_LOOP)

    @property
    def python(self) -> Path:
        """The interpreter that runs it."""
        return ROOT / self.environment / "bin" / "python"

    def source(self, wanted: int) -> str:
        """Name of the topic that it reads, which others with the same records read as well."""
        records = self.records(wanted)
        if self.is_playback:
            return f"source.playback.{self.partitions}.{records}"
        return f"source.purchases.{self.partitions}.{self.keys}.{records}"

    def records(self, wanted: int) -> int:
        """Number of records that it gets."""
        records = wanted // 2 if self.is_playback else wanted
        return min(records, self.max_records or records)

    def group_of_first_stage(self, job: Job) -> str:
        """Name of the group that reads the source."""
        stage = {"streamapp_stage": ".price", "playback_pipeline": ".validate"}
        return job.group + stage.get(self.module, "")

    def topics(self, job: Job) -> list[str]:
        """Names of the topics that it writes to."""
        if not self.is_playback:
            return [job.output, f"{job.output}.dlq"]
        stages = ("validate", "enrich", "score", "route")
        names = [f"playback-quality.{stage}{end}" for stage in stages for end in ("", ".dlq")]
        names += ["playback.scored", "playback.alerts"]
        return [f"{job.output}.{name}" for name in names]


PYTHON_LEAVES = {SWITCH: "0"}
"""Of a contender whose leaves are the twins in Python, as without the extra `fast`."""


COMPRESSED = {"STREAMAPP_KAFKA_COMPRESSION": "gzip"}
IN_THREAD = {"STREAMAPP_KAFKA_COMPRESS_IN_THREAD": "true"}


def _beside_a_loop(
    name: str,
    *,
    aim: float | None = None,
    mode: str = "sync",
    partitions: int = PARTITIONS,
    keys: int = load.KEYS,
) -> tuple[Contender, ...]:
    """The loop by this name, and a stage beside it, with native leaves and with their twins."""
    loop = Contender(
        name=f"hand_loop.{name}",
        beside=None,
        module="hand_loop",
        mode=mode,
        partitions=partitions,
        keys=keys,
    )
    stage = replace(
        loop,
        name=f"streamapp.{name}",
        beside=loop.name,
        module="streamapp_stage",
        aim_by_cpu=aim,
    )
    twin = replace(stage, name=f"{stage.name}_twin", variables=PYTHON_LEAVES, aim_by_cpu=None)
    return loop, stage, twin


CONTENDERS = (
    Contender(name=YARDSTICK, beside=None, module="hand_loop"),
    Contender(name=OURS, module="streamapp_stage", aim_by_cpu=1.35),
    Contender(name=f"{OURS}_twin", module="streamapp_stage", variables=PYTHON_LEAVES),
    Contender(name=PLAIN_LOOP, module="hand_loop", mode="plain"),
    *_beside_a_loop("async", mode="async", aim=1.35),
    *_beside_a_loop("dict", mode="dict", aim=1.6),
    Contender(
        name="hand_loop.dict_exact", beside="hand_loop.dict", module="hand_loop", mode="dict_exact"
    ),
    *_beside_a_loop("msgspec", mode="msgspec", aim=1.6),
    *(
        Contender(name=f"streamapp.{mode}", beside=OURS, module="streamapp_stage", mode=mode)
        for mode in ("out", "context", "fused")
    ),
    *(
        Contender(name=name, beside=beside, module="streamapp_stage", variables=COMPRESSED | thread)
        for name, beside, thread in (
            ("streamapp.gzip", None, {}),
            ("streamapp.gzip_in_thread", "streamapp.gzip", IN_THREAD),
        )
    ),
    *_beside_a_loop("1_partition", partitions=1)[:2],
    *_beside_a_loop("40_partitions", partitions=40, aim=1.25),
    *_beside_a_loop("1_key", keys=1),
    *_beside_a_loop("million_keys", keys=1_000_000),
    Contender(
        name="confluent",
        module="peers.confluent_loop",
        environment=".venv-peers-shared",
        lacks="a hand-written loop: no policies, metrics, concurrency",
    ),
    Contender(
        name="pathway",
        module="peers.pathway_table",
        environment=".venv-peers-pathway",
        lacks="no dead letters; offsets of the group are not its point of recovery",
    ),
    Contender(
        name="bytewax",
        module="peers.bytewax_flow",
        environment=".venv-peers-shared",
        lacks="no dead letters; recovers from a store of its own, not used here",
    ),
    Contender(
        name="quix",
        module="peers.quix_app",
        environment=".venv-peers-quix",
        lacks="commits every 5 s; one record at a time",
    ),
    Contender(
        name="faststream.batch",
        module="peers.faststream_app",
        mode="batch",
        environment=".venv-peers-shared",
        max_records=100_000,
        lacks="no dead letters, no breaker; one batch at a time",
    ),
    Contender(
        name="faust",
        module="peers.faust_app",
        environment=".venv-peers-shared",
        max_records=20_000,
        lacks="its producer is not idempotent; an event that fails is acknowledged",
    ),
    Contender(
        name="faststream.single",
        module="peers.faststream_app",
        mode="single",
        environment=".venv-peers-shared",
        max_records=3_000,
        lacks="a commit for each record",
    ),
    Contender(name="playback.unfused", beside=None, module="playback_pipeline", mode="unfused"),
    *(
        Contender(
            name=f"playback.{mode}",
            beside="playback.unfused",
            module="playback_pipeline",
            mode=mode,
        )
        for mode in ("fused", "all_fused")
    ),
    *(
        Contender(
            name=f"playback.{mode}_twin",
            beside=f"playback.{mode}",
            module="playback_pipeline",
            mode=mode,
            variables=PYTHON_LEAVES,
        )
        for mode in ("unfused", "fused", "all_fused")
    ),
)


@dataclass(frozen=True, slots=True)
class Target:
    """The targets: throughput of `streamapp.sync` as a multiple of another's."""

    by_wall: float
    by_cpu: float


TARGETS = {
    YARDSTICK: Target(1.0, 1.35),
    "pathway": Target(1.3, 1.25),
    "bytewax": Target(1.5, 1.4),
    "quix": Target(1.4, 1.4),
    "faststream.batch": Target(2, 2),
    "faust": Target(20, 20),
    "faststream.single": Target(80, 80),
}
