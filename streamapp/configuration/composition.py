"""Compositions in the file: an agent by its id, or combinators of such, in their Python names."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag, WithJsonSchema

from streamapp.agents.rules import Condition
from streamapp.configuration.secrets import Path
from streamapp.configuration.section import Section, tag_of
from streamapp.policies.backoff import Backoff
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.registry.definition import SchemaReference

MOST_AGENTS = 64
"""Most agents of one stage, those within others included."""

MOST_PARTS = 32
"""Most parts of one combinator."""

DEEPEST = 8
"""Deepest nesting of combinators."""

_ITEM: Mapping[type, dict[str, Any]] = {
    int: {"type": "integer", "minimum": 1},
    float: {"type": "number", "exclusiveMinimum": 0},
}


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _one_or_each(item: type) -> Any:
    """JSON schema of a value for all members, or of a list with one for each."""
    one = _ITEM[item]
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one}]})


class NamedAgent(Section):
    """An agent by its id.

    Attributes:
        agent: its id.
        configuration: values of its configuration, above those of its definition.
        name: its name; none: its id.
    """

    agent: str
    configuration: Mapping[str, JsonValue] = Field(default_factory=dict)
    name: str | None = Field(default=None, min_length=1)

    @property
    def shown(self) -> str:
        """It, for a table."""
        return self.agent

    def parts(self) -> Iterator[tuple[Path, "Composition"]]:
        """What it is made of: nothing."""
        return iter(())


class Combined(Section):
    """What is made of several agents.

    Attributes:
        name: its name; none: made of those of its parts.
        output_schema: name or JSON schema of what it gives; none: what its parts say of it.
    """

    name: str | None = Field(default=None, min_length=1)
    output_schema: SchemaReference | None = None

    @property
    def shown(self) -> str:
        """It, for a table: the combinator with its parts."""
        parts = (part if isinstance(part, str) else part.shown for _, part in self.parts())
        return f"{type(self).__name__.lower()}({', '.join(parts)})"

    def parts(self) -> Iterator[tuple[Path, "Composition"]]:
        """What it is made of."""
        raise NotImplementedError


class Branch(Combined):
    """An agent with a timeout, retries and defaults of its own.

    Attributes:
        branch: the agent.
        timeout_seconds: deadline of one call; none: that of the stage.
        retry_count: number of retries.
        backoff: waits between attempts.
        default: its output when it has failed for good; left out, that fails the attempt.
        if_none: its output when it gives none.
    """

    branch: "Composition"
    timeout_seconds: float | None = Field(default=None, gt=0)
    retry_count: int = Field(default=0, ge=0)
    backoff: Backoff = Backoff()
    default: JsonValue = None
    if_none: JsonValue = None

    def parts(self) -> Iterator[tuple[Path, "Composition"]]:
        """The agent."""
        yield ("branch",), self.branch


class Chain(Combined):
    """A sequence of agents.

    Attributes:
        chain: two or more.
    """

    chain: "list[Composition]" = Field(min_length=2, max_length=MOST_PARTS)

    def parts(self) -> Iterator[tuple[Path, "Composition"]]:
        """The agents in their order."""
        for number, one in enumerate(self.chain):
            yield ("chain", number), one


class Case(Section):
    """An agent, and when it is chosen.

    Attributes:
        when: rules that the value has to hold to.
        agent: the agent.
    """

    when: Condition
    agent: "Composition"


class Choose(Combined):
    """The first agent whose rules hold.

    Attributes:
        choose: the cases, asked in this order.
        otherwise: works if the rules of none hold.
    """

    choose: list[Case] = Field(min_length=1, max_length=MOST_PARTS)
    otherwise: "Composition"

    def parts(self) -> Iterator[tuple[Path, "Composition"]]:
        """The agents in their order, the last one without rules."""
        for number, case in enumerate(self.choose):
            yield ("choose", number, "agent"), case.agent
        yield ("otherwise",), self.otherwise


class Fallback(Combined):
    """Another agent takes over what one fails with.

    Attributes:
        fallback: two or more, asked in this order.
    """

    fallback: "list[Composition]" = Field(min_length=2, max_length=MOST_PARTS)

    def parts(self) -> Iterator[tuple[Path, "Composition"]]:
        """The agents in their order."""
        for number, one in enumerate(self.fallback):
            yield ("fallback", number), one


class Parallel(Combined):
    """Agents that get the same input side by side; their outputs become one object.

    Attributes:
        parallel: the agents, by the field of the object that has their output.
        join: what the object has: the `outputs` alone, or the fields of the `input` as well.
    """

    parallel: "Mapping[Annotated[str, Field(min_length=1)], Composition]" = Field(
        min_length=2, max_length=MOST_PARTS
    )
    join: Literal["outputs", "input"] = "outputs"

    def parts(self) -> Iterator[tuple[Path, "Composition"]]:
        """The agents in their order."""
        for field, one in self.parallel.items():
            yield ("parallel", field), one


class Pool(Combined):
    """Agents that do the same work share it; settings are one for all, or a list with one for each.

    Attributes:
        pool: the members.
        capacity: most calls of a member at a time.
        weights: how much more work it gets than its capacity says.
        calls_per_minute: most calls of a member in any minute; none: any number.
        breaker: settings of the breakers; none: the defaults.
    """

    pool: "list[Composition]" = Field(min_length=1, max_length=MOST_PARTS)
    capacity: Annotated[list[int], BeforeValidator(_listed), _one_or_each(int)]
    weights: Annotated[list[float], BeforeValidator(_listed), _one_or_each(float)] = Field(
        default=[1.0], validate_default=False
    )
    calls_per_minute: (
        Annotated[list[int | None], BeforeValidator(_listed), _one_or_each(int)] | None
    ) = None
    breaker: BreakerConfig | None = None

    def parts(self) -> Iterator[tuple[Path, "Composition"]]:
        """The members in their order."""
        for number, one in enumerate(self.pool):
            yield ("pool", number), one


Combination = Branch | Chain | Choose | Fallback | Parallel | Pool
"""What is made of several agents, by one combinator or another."""

_KINDS = ("agent", "branch", "chain", "choose", "fallback", "parallel", "pool")


def _kind(value: Any) -> str | None:
    """The tag of what a composition is, by its one field that says so."""
    return "(id)" if isinstance(value, str) else tag_of(value, _KINDS)


Composition = Annotated[
    Annotated[str, Tag("(id)")]
    | Annotated[NamedAgent, Tag("(agent)")]
    | Annotated[Branch, Tag("(branch)")]
    | Annotated[Chain, Tag("(chain)")]
    | Annotated[Choose, Tag("(choose)")]
    | Annotated[Fallback, Tag("(fallback)")]
    | Annotated[Parallel, Tag("(parallel)")]
    | Annotated[Pool, Tag("(pool)")],
    Discriminator(
        _kind,
        custom_error_type="composition",
        custom_error_message=f"give the id of an agent, or an object with {', '.join(_KINDS)}",
    ),
]
"""The agent of a stage: one by its id, or made of several."""

for _model in (Branch, Chain, Case, Choose, Fallback, Parallel, Pool):
    _model.model_rebuild()


def named(composition: Composition) -> NamedAgent | Combination:
    """A composition, where an id stands for the agent of that id."""
    return NamedAgent(agent=composition) if isinstance(composition, str) else composition


def walk_composition(
    composition: Composition, path: Path = ()
) -> Iterator[tuple[Path, NamedAgent | Combination]]:
    """A composition and all that it is made of, depth-first, with their paths."""
    yield path, named(composition)
    if not isinstance(composition, str):
        for inner, part in composition.parts():
            yield from walk_composition(part, (*path, *inner))


def check_size(composition: Composition) -> None:
    """Require a composition to be such that a person could have written it.

    Raises:
        ValueError: it has too many agents, or is nested too deeply.
    """
    found = list(walk_composition(composition))
    if sum(isinstance(one, NamedAgent) for _, one in found) > MOST_AGENTS:
        raise ValueError(f"the stage has more than {MOST_AGENTS} agents; make several stages of it")
    if _depth(composition) > DEEPEST:
        raise ValueError(f"combinators are nested deeper than {DEEPEST} levels; use fewer")


def _depth(composition: Composition) -> int:
    if isinstance(composition, str):
        return 0
    return 1 + max((_depth(part) for _, part in composition.parts()), default=-1)
