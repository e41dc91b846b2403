"""Whether the parts of a composition take what they are given, as their schemas say.

The combinators compare types. Agents of a file mostly take and give objects of any kind, and their
schemas say which: so these are compared here, by the check that is asked between stages as well.
Only a proven no is a fault; what is not known is told apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations, pairwise

from streamapp.configuration.composition import (
    Branch,
    Chain,
    Choose,
    Combination,
    Composition,
    Fallback,
    NamedAgent,
    Parallel,
    Pool,
    named,
)
from streamapp.configuration.composition_ends import Ends, Input, Output, chosen, defaults, joined
from streamapp.configuration.condition_schemas import asked
from streamapp.configuration.secrets import Path
from streamapp.registry.common_values import conflict, narrowed
from streamapp.registry.containment import Answer, Fit, compare
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.schemas import Schema

Finding = tuple[Path, str]
"""Where something is wrong or not known, and a sentence about it."""

_FROM_YES_TO_NO = {Answer.YES: 0, Answer.UNKNOWN: 1, Answer.NO: 2}


class CompositionCheck:
    """Compares the schemas of the parts of compositions.

    Args:
        registry: the agents.

    Attributes:
        faults: what is proven not to fit.
        unknown: what could be neither proven nor ruled out.
    """

    def __init__(self, registry: AgentRegistry) -> None:
        self.faults: list[Finding] = []
        self.unknown: list[Finding] = []
        self._registry = registry

    def ends(self, composition: Composition, path: Path) -> Ends:
        """What a composition takes and gives; its parts are compared.

        Args:
            composition: what it is.
            path: where it stands.
        """
        one = named(composition)
        if isinstance(one, NamedAgent):
            entry = self._registry.entry(one.agent)
            output = Output(path, f"what {one.agent!r} gives", entry.output)
            return Ends((Input(path, one.agent, entry.input_),), (output,))
        parts = [self.ends(part, (*path, *inner)) for inner, part in one.parts()]
        found = self._combined(one, parts, path)
        if one.output_schema is None:
            return found
        return replace(found, outputs=(self._declared(one, found.outputs, path),))

    def compare(self, outputs: Iterable[Output], inputs: Sequence[Input]) -> None:
        """Compare what is given with what is taken."""
        for output in outputs:
            for taker in inputs:
                fit = self._fit_of(output, taker)
                wrong = f"{taker.name!r} does not take {output.told}"
                open_ = f"whether {taker.name!r} takes {output.told} is not known"
                self._tell(fit, taker.path, wrong, open_)

    def _combined(self, one: Combination, parts: Sequence[Ends], path: Path) -> Ends:
        inputs = tuple(end for part in parts for end in part.inputs)
        outputs = tuple(end for part in parts for end in part.outputs)
        match one:
            case Chain():
                for before, after in pairwise(parts):
                    self.compare(before.outputs, after.inputs)
                return Ends(parts[0].inputs, parts[-1].outputs)
            case Choose():
                return Ends(tuple(chosen(one, parts)), outputs)
            case Branch():
                return Ends(inputs, (*outputs, *defaults(one, path)))
        self._require_common(inputs, path)
        match one:
            case Fallback():
                self._require_like_first(parts)
                return Ends(inputs, parts[0].outputs)
            case Pool():
                return Ends(inputs, self._widest(parts, path))
            case Parallel():
                return Ends(inputs, (joined(one, parts, path),))

    def _require_common(self, inputs: Sequence[Input], path: Path) -> None:
        """Require that there may be a value that all of the inputs take."""
        for one, other in combinations((end for end in inputs if not end.tests), 2):
            found = conflict(one.schema, other.schema)
            if found is not None:
                place = f"{found.path!r}" if found.path else "the value"
                told = (
                    f"no value fits both {one.name!r} and {other.name!r}, which are given the same:"
                    f" {place} has to be {found.one} for the one, and {found.other} for the other"
                )
                self._add(self.faults, path, told)
                return

    def _require_like_first(self, parts: Sequence[Ends]) -> None:
        """Require that who takes over gives what the first would have given."""
        for part in parts[1:]:
            for output in part.outputs:
                self._compare_with(output, parts[0].outputs)

    def _widest(self, parts: Sequence[Ends], path: Path) -> tuple[Output, ...]:
        """The outputs that those of all members fit."""
        members = [part.outputs for part in parts]
        for answers in ({Answer.YES}, set(Answer) - {Answer.NO}):
            for one in members:
                others = [end for other in members if other is not one for end in other]
                if all(self._best(end, one).answer in answers for end in others):
                    for end in others:
                        self._compare_with(end, one)
                    return one
        first, other = members[0], members[1]
        fit = self._best(other[0], first)
        told = f"its members do not give the same: {other[0].told} is not {first[0].told}: {fit}"
        self._add(self.faults, path, told)
        return first

    def _compare_with(self, output: Output, wanted: Sequence[Output]) -> None:
        """Compare an output with those of which it has to be one."""
        fit = self._best(output, wanted)
        wrong = f"{output.told} is not {wanted[0].told}"
        open_ = f"whether {output.told} is {wanted[0].told} is not known"
        self._tell(fit, output.path, wrong, open_)

    def _best(self, output: Output, wanted: Sequence[Output]) -> Fit:
        fits = [self._fit(output, one.schema) for one in wanted]
        best = min(fits, key=lambda fit: _FROM_YES_TO_NO[fit.answer])
        if best.answer is Answer.NO and (len(fits) > 1 or not all(o.is_exact for o in wanted)):
            return _not_proven(best)  # it may be partly one, partly another
        return best

    def _declared(self, one: Combination, outputs: Sequence[Output], path: Path) -> Output:
        """What a composition is said to give, which may say more of it than its parts do."""
        path = (*path, "output_schema")
        schema = self._registry.schemas.of(one.output_schema)
        for output in outputs:
            fit = self._fit(output, schema)
            if fit.answer is Answer.NO and not self._registry.check.fits(schema, output.schema):
                self._add(self.faults, path, f"{output.told} is not {schema.name}: {fit}")
        return Output(path, f"what {one.shown} is said to give", schema)

    def _fit_of(self, output: Output, taker: Input) -> Fit:
        """Whether what comes to an agent fits it."""
        fit = self._fit(output, taker.schema)
        if fit.is_fit or not taker.tests or not output.schema.is_bound:
            return fit
        schemas, is_exact = asked(output.schema, taker.tests)
        left = narrowed(output.schema, schemas)
        if left is None:
            return fit if fit.answer is Answer.UNKNOWN else _not_proven(fit)
        fit = compare(left, taker.schema)
        is_proven = is_exact and output.is_exact
        return fit if is_proven or fit.answer is not Answer.NO else _not_proven(fit)

    def _fit(self, output: Output, input_: Schema) -> Fit:
        fit = self._registry.check.explain(output.schema, input_)
        if fit.answer is Answer.NO and not output.is_exact:
            return _not_proven(fit)
        return fit

    def _tell(self, fit: Fit, path: Path, wrong: str, open_: str) -> None:
        if fit.is_fit:
            return
        if fit.answer is Answer.NO:
            self._add(self.faults, path, f"{wrong}: {fit}")
        else:
            self._add(self.unknown, path, f"{open_}: {fit}")

    def _add(self, to: list[Finding], path: Path, told: str) -> None:
        if (path, told) not in to:
            to.append((path, told))


def _not_proven(fit: Fit) -> Fit:
    """The answer where it is not known which of the values come."""
    reason = f"{fit.reason}; whether such values come here is not known"
    return replace(fit, answer=Answer.UNKNOWN, reason=reason)
