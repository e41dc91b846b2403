"""Bugs in how a stage ends, or fails to: blocked loops, dead ends, and what a stop commits.

Each changes one named place of the runtime. If that place no longer exists, planting fails with an
error that says so; then the bug has to be moved.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager

from streamapp.brokers.protocols import CommittedOffset
from streamapp.runtime import committer as committer_module
from streamapp.runtime.committer import _to_commit
from streamapp.runtime.partition import Partition, Phase
from tests.simulation.planting import Mutant, replaced


def end_in_a_replay_commits_nothing() -> AbstractContextManager[None]:
    def to_commit(partition: Partition) -> CommittedOffset | None:
        return None if partition.phase is Phase.SUSPENDED else _to_commit(partition)

    return replaced(committer_module, "_to_commit", to_commit)


FOURTH: Mapping[str, Mutant] = {
    mutant.__name__: mutant for mutant in (end_in_a_replay_commits_nothing,)
}
