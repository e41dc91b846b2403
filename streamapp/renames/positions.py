"""Before a service starts: where its stages go on, whatever was renamed, fused or moved since."""

from collections.abc import Sequence

from streamapp.brokers.protocols import Admin
from streamapp.pipeline.topology import Segment, Topology
from streamapp.renames.asked_once import AskedOnce
from streamapp.renames.moves import find_moves, store_moves
from streamapp.renames.renames import Renames, find_renames, store_start_offsets
from streamapp.renames.side_topics import check_side_topics, move_side_topics


class Positions:
    """The positions of the stages of a service.

    Args:
        topologies: the checked pipelines.
        pipelines: the segments of each that the service runs.
        start_anew: start stages without offsets at the beginning of their topics, even if Kafka has
            offsets of stages that are not declared.
    """

    def __init__(
        self,
        topologies: Sequence[Topology],
        pipelines: Sequence[Sequence[Segment]],
        *,
        start_anew: bool,
    ) -> None:
        self._topologies = topologies
        self._pipelines = pipelines
        self._segments = [segment for segments in pipelines for segment in segments]
        self._start_anew = start_anew

    async def check(self, admin: Admin) -> None:
        """Check that every stage would find its position, without storing anything.

        Raises:
            RenamedStageError: a stage may have been renamed.
        """
        kafka = AskedOnce(admin)
        (await find_moves(kafka, self._segments)).raise_refusals()
        await check_side_topics(kafka, self._segments)
        await self._find_renames(kafka)

    async def carry(self, admin: Admin) -> None:
        """Store where stages start that were renamed, fused, or moved into or out of a bundle.

        Raises:
            RenamedStageError: a stage may have been renamed; nothing was stored.
        """
        kafka = AskedOnce(admin)
        moves = await find_moves(kafka, self._segments)
        moves.raise_refusals()
        await check_side_topics(kafka, self._segments)
        renames = await self._find_renames(kafka)
        await store_moves(admin, moves)
        for one in renames:
            await store_start_offsets(admin, one)
        await move_side_topics(admin, self._segments)

    async def _find_renames(self, kafka: AskedOnce) -> Sequence[Renames]:
        found = [
            await find_renames(kafka, topology, segments)
            for topology, segments in zip(self._topologies, self._pipelines, strict=True)
        ]
        for renames in found:
            renames.raise_refusals(yes=self._start_anew)
        return found
