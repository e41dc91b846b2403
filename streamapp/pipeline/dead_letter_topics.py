"""The topics that a stage writes its dead letters to, unless others are declared."""

DEAD_LETTERS_SUFFIX = ".dlq"
"""Follows the name of a stage in the name of its dead-letter topic."""


def dead_letters_of(stage: str) -> str:
    """Name of the dead-letter topic of a stage for which none is declared.

    Args:
        stage: `<pipeline>.<stage>`.
    """
    return f"{stage}{DEAD_LETTERS_SUFFIX}"
