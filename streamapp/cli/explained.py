"""Shows why the agents of a pipeline were chosen: every candidate, its figures, its reason."""

from collections.abc import Iterator
from pathlib import Path

import typer

from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.printable import printable
from streamapp.configuration.remembered_scores import remembered_scores
from streamapp.registry.assemble import Assembled
from streamapp.registry.choices import Choices
from streamapp.registry.explanation import AssemblyError, Candidate, Explanation

_MOST = 20
"""So many candidates of a stage are shown to people; JSON has all."""


def assembled_or_explained(
    configuration: Configuration,
    path: Path,
    name: str,
    *,
    explain: bool,
    choices: Choices | None = None,
) -> Assembled:
    """Make a declared pipeline; if that fails and it is asked for, print why on standard error.

    Args:
        configuration: where it is declared.
        path: the configuration file, beside which scores of agents are remembered.
        name: its name.
        explain: whether it is asked for.
        choices: among the agents of the configuration, for a caller that makes many pipelines.

    Raises:
        ConfigurationError: as `assemble_declared`.
    """
    try:
        return assemble_declared(configuration, name, choices or choices_of(configuration, path))
    except AssemblyError as error:
        if explain:
            for line in explanation_lines(error.explanation):
                typer.echo(line, err=True)
        raise


def choices_of(configuration: Configuration, path: Path) -> Choices:
    """Choices among the agents of a configuration, by the scores that runs have remembered."""
    return Choices(registry_of(configuration), remembered_scores(path))


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    """An explanation for people to read."""
    for step in explanation.steps:
        failed = " (here no chain goes on)" if step.number == explanation.failed_step else ""
        yield f"step {step.number}: {step.capability}{failed}"
        for candidate in step.candidates[:_MOST]:
            yield from map(printable, _candidate_lines(candidate))
        if not step.candidates:
            yield "  no agent offers it"
        if (more := len(step.candidates) - _MOST) > 0:
            yield f"  and {more:,} more; --output json has all"


def _candidate_lines(candidate: Candidate) -> Iterator[str]:
    score = candidate.score
    yield f"  {candidate.agent_id}: {candidate.outcome}, {candidate.reason}"
    figures = ", ".join(f"{one.name} {one.value:.2f} ({one.told})" for one in score.figures)
    yield f"    score {score.value:.3f}: {figures}"
    for note in candidate.notes:
        yield f"    {note}"
