"""The changes that bring the topics of a broker in line with the declared ones."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from streamapp.brokers.protocols import Admin, TopicDescription, TopicSpec
from streamapp.errors import TopicError


@dataclass(frozen=True, slots=True)
class CreateTopic:
    """The broker does not have the topic."""

    spec: TopicSpec

    def __str__(self) -> str:
        """Say it in one line."""
        copies = self.spec.replication_factor
        settings = {
            "partitions": self.spec.partitions,
            **({} if copies is None else {"replication_factor": copies}),
            **dict(sorted(self.spec.config.items())),
        }
        shown = ", ".join(f"{name}={value}" for name, value in settings.items())
        return f"create {self.spec.name} with {shown}"


@dataclass(frozen=True, slots=True)
class ChangeConfig:
    """The topic's configuration differs.

    Attributes:
        topic: its name.
        before: the broker's values; `None` if it has none.
        after: the declared values, only those that differ.
    """

    topic: str
    before: Mapping[str, str | None]
    after: Mapping[str, str]

    def __str__(self) -> str:
        """Say it in one line."""
        changes = ", ".join(
            f"{name} from {self.before[name]} to {value}"
            for name, value in sorted(self.after.items())
        )
        return f"set {changes} on {self.topic}"


@dataclass(frozen=True, slots=True)
class AddPartitions:
    """The topic has fewer partitions than declared.

    Attributes:
        topic: its name.
        before: number of existing partitions.
        after: number of declared partitions.
        keyed: whether all records of a key must be in one partition.
    """

    topic: str
    before: int
    after: int
    keyed: bool

    def __str__(self) -> str:
        """Say it in one line."""
        return f"add partitions to {self.topic}, from {self.before} to {self.after}"


TopicChange: TypeAlias = CreateTopic | ChangeConfig | AddPartitions


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in the order in which they are made, and declarations that cannot be met.

    Attributes:
        changes: the changes; empty if the topics are as declared.
        impossible: a sentence for each declaration that cannot be met, because topics are never
            deleted, shrunk or moved.
    """

    changes: tuple[TopicChange, ...] = ()
    impossible: tuple[str, ...] = ()

    def refusals(self, *, yes: bool = False) -> tuple[str, ...]:
        """Why the plan cannot be applied; `yes` agrees to add partitions to keyed topics."""
        moves = (
            f"the topic {change.topic} is keyed, and {change.after - change.before} more partitions"
            " would send keys to other partitions than their earlier records:"
            " drain its readers first, then use --yes"
            for change in self.changes
            if isinstance(change, AddPartitions) and change.keyed and not yes
        )
        return (*self.impossible, *moves)


async def plan_topics(
    admin: Admin, wanted: Iterable[TopicSpec], *, unkeyed: Collection[str] = ()
) -> Plan:
    """Compare the wanted topics with those of the broker.

    If a topic is wanted twice, the first spec counts, so put the declarations of the catalogue
    before the topics that a pipeline needs. Other topics are left as they are.

    Args:
        admin: a started admin client.
        wanted: declared topics, then those that pipelines need.
        unkeyed: topics to which partitions may be added freely; all others count as keyed.
    """
    specs: dict[str, TopicSpec] = {}
    for spec in wanted:
        specs.setdefault(spec.name, spec)
    existing = await admin.describe_topics(specs)
    return compare_topics(specs.values(), existing, unkeyed=unkeyed)


def compare_topics(
    wanted: Iterable[TopicSpec],
    existing: Mapping[str, TopicDescription],
    *,
    unkeyed: Collection[str] = (),
) -> Plan:
    """Plan without a broker: creations first, then configuration, then partitions."""
    creations: list[TopicChange] = []
    changes: list[TopicChange] = []
    additions: list[TopicChange] = []
    impossible: list[str] = []
    for spec in wanted:
        found = existing.get(spec.name)
        if found is None:
            creations.append(CreateTopic(spec))
            continue
        if change := _config_change(spec, found):
            changes.append(change)
        if found.partitions < spec.partitions:
            keyed = spec.name not in unkeyed
            additions.append(AddPartitions(spec.name, found.partitions, spec.partitions, keyed))
        impossible += _impossible(spec, found)
    return Plan((*creations, *changes, *additions), tuple(impossible))


async def missing_topics(admin: Admin, names: Collection[str]) -> tuple[str, ...]:
    """Those of the names that the broker does not have, in the order given."""
    existing = await admin.describe_topics(names)
    return tuple(name for name in dict.fromkeys(names) if name not in existing)


def refuse(plan: Plan, *, yes: bool) -> None:
    """Raise if the plan cannot be applied.

    Raises:
        TopicError: one line for each refusal.
    """
    if refusals := plan.refusals(yes=yes):
        raise TopicError("\n".join(refusals))


def _config_change(spec: TopicSpec, found: TopicDescription) -> ChangeConfig | None:
    after = {
        name: value
        for name, value in spec.config.items()
        if not _same_value(name, value, found.config.get(name))
    }
    before = {name: found.config.get(name) for name in after}
    return ChangeConfig(spec.name, before, after) if after else None


def _same_value(name: str, wanted: str, found: str | None) -> bool:
    if name == "cleanup.policy" and found is not None:  # a list whose order does not matter
        return set(wanted.split(",")) == set(found.split(","))
    return wanted == found


def _impossible(spec: TopicSpec, found: TopicDescription) -> list[str]:
    sentences = []
    if found.partitions > spec.partitions:
        sentences.append(
            f"the topic {spec.name} has {found.partitions} partitions and {spec.partitions} are"
            f" declared: partitions are never removed, so declare {found.partitions},"
            " or use a new topic"
        )
    if spec.replication_factor not in (None, found.replication_factor):
        sentences.append(
            f"the topic {spec.name} has replication factor {found.replication_factor} and"
            f" {spec.replication_factor} is declared: replicas are moved by Kafka's own tools,"
            f" so run kafka-reassign-partitions, or declare {found.replication_factor}"
        )
    return sentences
