"""The scores of agents that runs have remembered beside a configuration file."""

from pathlib import Path

from streamapp.configuration.state_folder import state_folder
from streamapp.registry.score_file import ScoreFile
from streamapp.registry.scores import Scores


def remembered_scores(configuration_file: Path) -> Scores:
    """What earlier runs have measured; so commands choose and explain as the next run will.

    Args:
        configuration_file: the file, which may be missing.
    """
    scores = Scores()
    ScoreFile(state_folder(configuration_file)).load(scores)
    return scores
