"""Who offers a capability, takes a schema or gives one; and which schemas fit which.

Agents with the same schema are one case: what fits is asked for schemas, and only for pairs that
somebody looks at.
"""

from collections.abc import Iterable, Mapping

from streamapp.pipeline.capability import Capability
from streamapp.registry.containment import ContainmentCheck
from streamapp.registry.entry import Entry
from streamapp.registry.field_index import FieldIndex
from streamapp.registry.outermost import certain_fields, may_fit, needed_fields
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
        self._by_both: dict[Capability, dict[Schema, _Entries]] = {one: {} for one in Capability}
        self._by_input: dict[Schema, _Entries] = {}
        self._by_output: dict[Schema, _Entries] = {}
        self._by_field = FieldIndex()
        self._inputs_for: dict[Schema, tuple[Schema, ...]] = {}
        self._declared = check.declarations

    def add(self, entry: Entry) -> None:
        """Add an agent."""
        for capability in entry.definition.capabilities:
            self._by_capability[capability][entry.agent_id] = entry
            _put(self._by_both[capability], entry.input_, entry)
        _put(self._by_output, entry.output, entry)
        if entry.input_ not in self._by_input:
            if entry.input_.is_bound:
                self._by_field.add(entry.input_)
            self._inputs_for.clear()
        _put(self._by_input, entry.input_, entry)

    def remove(self, entry: Entry) -> None:
        """Remove an agent."""
        for capability in entry.definition.capabilities:
            del self._by_capability[capability][entry.agent_id]
            _take_away(self._by_both[capability], entry.input_, entry)
        _take_away(self._by_output, entry.output, entry)
        _take_away(self._by_input, entry.input_, entry)
        if entry.input_ not in self._by_input:
            if entry.input_.is_bound:
                self._by_field.remove(entry.input_)
            self._inputs_for.clear()

    def offering(self, capability: Capability) -> Mapping[str, Entry]:
        """Agents that offer a capability, by id."""
        return self._by_capability[capability]

    def taking(self, schema: Schema, capability: Capability | None = None) -> Mapping[str, Entry]:
        """Agents whose inputs have this schema, by id; of one capability, if it is given."""
        return self._inputs_of(capability).get(schema, {})

    def giving(self, schema: Schema) -> Mapping[str, Entry]:
        """Agents whose outputs have this schema, by id."""
        return self._by_output.get(schema, {})

    def inputs(self, capability: Capability | None = None) -> tuple[Schema, ...]:
        """The schemas of all inputs; of the agents of one capability, if it is given."""
        return tuple(self._inputs_of(capability))

    def fits(self, output: Schema, input_: Schema) -> bool:
        """Whether an output fits an input."""
        if not may_fit(needed_fields(input_.read_form), certain_fields(output.written_form)):
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

    def _likely(self, output: Schema) -> Iterable[Schema]:
        """Inputs that it may fit; of a mere name it is known that it fits the same name."""
        return self._by_field.likely(output) if output.is_bound else (output,)

    def outputs_for(self, input_: Schema) -> tuple[Schema, ...]:
        """The schemas of outputs that fit an input."""
        return tuple(one for one in self._by_output if self.fits(one, input_))

    def _inputs_of(self, capability: Capability | None) -> Mapping[Schema, _Entries]:
        return self._by_input if capability is None else self._by_both[capability]


def _put(index: dict[Schema, _Entries], schema: Schema, entry: Entry) -> None:
    index.setdefault(schema, {})[entry.agent_id] = entry


def _take_away(index: dict[Schema, _Entries], schema: Schema, entry: Entry) -> None:
    del index[schema][entry.agent_id]
    if not index[schema]:
        del index[schema]
