"""All that is wrong with a declared pipeline, as far as it can be seen at once."""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from streamapp.configuration.check import Fault
from streamapp.configuration.composition import NamedAgent, walk_composition
from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.declared_pipelines import assemble_declared, choose_declared
from streamapp.configuration.declared_stage import DeclaredStage
from streamapp.configuration.declared_steps import step_of
from streamapp.configuration.declared_warnings import warnings_of
from streamapp.configuration.idle_settings import idle_settings
from streamapp.configuration.placed import PlacedError, shown
from streamapp.configuration.secrets import Path
from streamapp.configuration.warnings import Warnings
from streamapp.errors import ConfigurationError
from streamapp.registry.choices import Choices
from streamapp.registry.explanation import AssemblyError
from streamapp.registry.given import Given, Step
from streamapp.registry.instantiate import Meanings


class PipelineLint:
    """Looks for what is wrong with the pipelines of a file.

    Args:
        configuration: where they are declared.
        choices: among its agents.
        wrong_agents: ids of agents with faults that are told already: what depends on them is left
            out, and all else is looked at.

    Attributes:
        warnings: of pipelines that cannot be made, those that need no agents.
    """

    def __init__(
        self, configuration: Configuration, choices: Choices, wrong_agents: Collection[str] = ()
    ) -> None:
        self.warnings = Warnings()
        self._configuration = configuration
        self._choices = choices
        self._wrong = wrong_agents

    def placed_faults(self, name: str) -> Iterator[Fault]:
        """What is wrong with a pipeline; what is no fault is added to the warnings."""
        found = list(self._faults(name))
        for error in found:
            at = error.path if isinstance(error, PlacedError) else ("data_pipelines", name)
            for line in str(error).splitlines():
                yield at, f"{shown(at)}: {line}"
        if found:
            declared = self._configuration.data_pipelines[name]
            self.warnings.placed += idle_settings(declared, None, ("data_pipelines", name))

    def _faults(self, name: str) -> Iterator[ConfigurationError]:
        declared = self._configuration.data_pipelines[name]
        where: Path = ("data_pipelines", name)
        found: list[PlacedError] = []
        steps = self._steps(declared, where, found)
        yield from found
        if found or None in steps:
            yield from self._of_sequence(declared, steps, where)
            return
        try:
            made = assemble_declared(self._configuration, name, self._choices)
        except PlacedError as error:
            yield error
            yield from error.others
        except AssemblyError as error:
            yield from self._of_chain(error, steps, where)
        except ConfigurationError as error:
            yield error
        else:
            self.warnings.general += made.warnings
            self.warnings.placed += warnings_of(self._configuration, name, made)

    def _steps(
        self, declared: DeclaredPipeline, where: Path, faults: list[PlacedError]
    ) -> list[Step | None]:
        """What the stages want, as far as it is known; faults of making their agents are added."""
        steps: list[Step | None] = []
        meanings: Meanings = {}
        for place, stage in enumerate(declared.stages):
            steps.append(None)
            if not self._is_sound(stage):
                continue
            path: Path = (*where, "stages", place, "agent")
            try:
                step = steps[-1] = step_of(self._choices.registry, stage, path)
                if isinstance(step, Given):
                    step.make(meanings)
            except PlacedError as error:
                faults += (error, *error.others)
        return steps

    def _of_sequence(
        self, declared: DeclaredPipeline, steps: Sequence[Step | None], where: Path
    ) -> Iterator[ConfigurationError]:
        """Of a pipeline that cannot be made: whether the agents that it has follow one another."""
        known = [one for one in steps if one is not None]
        if len(known) < len(steps):
            yield from self._of_pairs(steps, where)
            return
        try:
            choose_declared(declared, self._choices, known)
        except AssemblyError as error:
            yield from self._of_chain(error, steps, where)
        except ConfigurationError as error:
            yield PlacedError(where, str(error))

    def _of_chain(
        self, error: AssemblyError, steps: Sequence[Step | None], where: Path
    ) -> Iterator[PlacedError]:
        """Where a chain ends, and where it would end further on."""
        failed = error.explanation.failed_step or 1
        yield PlacedError((*where, "stages", failed - 1), str(error))
        yield from self._of_pairs(steps, where, after=failed)

    def _of_pairs(
        self, steps: Sequence[Step | None], where: Path, after: int = 0
    ) -> Iterator[PlacedError]:
        """Neighbours that both have their agent, of which the one does not take what it is given.

        Args:
            steps: what the stages want.
            where: where the pipeline is declared.
            after: number of the step after which it is looked for them.
        """
        for place, (one, other) in enumerate(pairwise(steps), 1):
            if place < after or not isinstance(one, Given) or not isinstance(other, Given):
                continue
            fit = self._choices.registry.check.explain(one.entry.output, other.entry.input_)
            if not fit.is_fit:
                names = f"{other.entry.agent_id!r} does not take what {one.entry.agent_id!r} gives"
                yield PlacedError((*where, "stages", place), f"{names}: {fit}")

    def _is_sound(self, stage: DeclaredStage) -> bool:
        """Whether the agents that a stage names, or may be given, have no faults of their own."""
        if stage.agent is None:
            return not self._wrong
        return not any(
            isinstance(one, NamedAgent) and one.agent in self._wrong
            for _, one in walk_composition(stage.agent)
        )
