"""The stages of a pipeline that middleware is for."""

from collections.abc import Collection, Sequence

from streamapp.pipeline.stage import Stage


def chosen(stages: Sequence[Stage], names: Collection[str] | None) -> Sequence[Stage]:
    """The stages with these names; with `None` all.

    Raises:
        ValueError: no stage has one of the names.
    """
    if names is None:
        return stages
    known = [stage.stage_id for stage in stages]
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(
            f"is for the stages {', '.join(map(repr, unknown))}, which the pipeline does not have;"
            f" its stages are {', '.join(map(repr, known))}"
        )
    return [stage for stage in stages if stage.stage_id in names]
