"""Who offers a capability, takes a schema or gives one; and which schemas fit which.

Agents with the same schema are one case: what fits is asked for schemas, and only for pairs that
somebody looks at. An input that needs a field is not compared with outputs that may lack it: inputs
are kept under the rarest field that they need.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from streamapp.pipeline.capability import Capability
from streamapp.registry.containment import ContainmentCheck
from streamapp.registry.entry import Entry
from streamapp.registry.outermost import certain_fields, needed_fields
from streamapp.registry.schemas import Schema

_Entries = dict[str, Entry]


class Indexes:
    """Indexes of the agents of a registry.

    Args:
        check: whether outputs fit inputs.
    """

    def __init__(self, check: ContainmentCheck) -> None:
        self._check = check
        self._by_capability: dict[Capability, _Entries] = {one: {} for one in Capability}
        self._by_input: dict[Schema, _Entries] = {}
        self._by_output: dict[Schema, _Entries] = {}
        self._by_field: dict[str | None, list[Schema]] | None = None
        self._inputs_for: dict[Schema, tuple[Schema, ...]] = {}
        self._declared = check.declarations

    def add(self, entry: Entry) -> None:
        """Add an agent."""
        for capability in entry.definition.capabilities:
            self._by_capability[capability][entry.agent_id] = entry
        self._by_output.setdefault(entry.output, {})[entry.agent_id] = entry
        if entry.input_ not in self._by_input:
            self._forget()
        self._by_input.setdefault(entry.input_, {})[entry.agent_id] = entry

    def remove(self, entry: Entry) -> None:
        """Remove an agent."""
        for capability in entry.definition.capabilities:
            del self._by_capability[capability][entry.agent_id]
        for index, schema in ((self._by_output, entry.output), (self._by_input, entry.input_)):
            del index[schema][entry.agent_id]
            if not index[schema]:
                del index[schema]
        if entry.input_ not in self._by_input:
            self._forget()

    def offering(self, capability: Capability) -> Mapping[str, Entry]:
        """Agents that offer a capability, by id."""
        return self._by_capability[capability]

    def taking(self, schema: Schema) -> Mapping[str, Entry]:
        """Agents whose inputs have this schema, by id."""
        return self._by_input.get(schema, {})

    def giving(self, schema: Schema) -> Mapping[str, Entry]:
        """Agents whose outputs have this schema, by id."""
        return self._by_output.get(schema, {})

    def inputs(self) -> tuple[Schema, ...]:
        """The schemas of all inputs."""
        return tuple(self._by_input)

    def fits(self, output: Schema, input_: Schema) -> bool:
        """Whether an output fits an input."""
        written = certain_fields(output.written_form)
        if written is not None and not needed_fields(input_.read_form) <= written:
            return input_ in self._check.declared_for(output)
        return self._check.fits(output, input_)

    def inputs_for(self, output: Schema) -> tuple[Schema, ...]:
        """The schemas of inputs that an output fits."""
        if self._declared != self._check.declarations:
            self._declared = self._check.declarations
            self._inputs_for.clear()
        known = self._inputs_for.get(output)
        if known is None:
            candidates = dict.fromkeys([*self._likely(output), *self._check.declared_for(output)])
            known = tuple(
                one for one in candidates if one in self._by_input and self._check.fits(output, one)
            )
            self._inputs_for[output] = known
        return known

    def outputs_for(self, input_: Schema) -> tuple[Schema, ...]:
        """The schemas of outputs that fit an input."""
        return tuple(one for one in self._by_output if self._check.fits(one, input_))

    def _likely(self, output: Schema) -> Iterator[Schema]:
        """Inputs that need no field which the output may lack."""
        if self._by_field is None:
            self._by_field = self._fields()
        written = certain_fields(output.written_form)
        if written is None:
            yield from self._by_input
            return
        for field in (None, *written):
            for schema in self._by_field.get(field, ()):
                if needed_fields(schema.read_form) <= written:
                    yield schema

    def _fields(self) -> dict[str | None, list[Schema]]:
        needed = {schema: needed_fields(schema.read_form) for schema in self._by_input}
        counts = Counter(field for fields in needed.values() for field in fields)
        index: dict[str | None, list[Schema]] = {}
        for schema, fields in needed.items():
            rarest = min(fields, key=lambda one: (counts[one], one), default=None)
            index.setdefault(rarest, []).append(schema)
        return index

    def _forget(self) -> None:
        self._by_field = None
        self._inputs_for.clear()
