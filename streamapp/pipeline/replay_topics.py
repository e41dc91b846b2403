"""The topics to which dead letters are sent back: only the stage that gave them up reads them."""

REPLAY_SUFFIX = ".replay"
"""Follows the name of a stage in the name of its replay topic."""


def replay_topic_of(stage: str) -> str:
    """Name of the topic in which a stage finds dead letters that it is to try again.

    Args:
        stage: `<pipeline>.<stage>`.
    """
    return f"{stage}{REPLAY_SUFFIX}"
