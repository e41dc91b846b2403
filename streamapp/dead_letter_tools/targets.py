"""The stages that dead letters can go back to, and whether their code can read a letter."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from streamapp.errors import ConfigurationError
from streamapp.letters.letter import Letter
from streamapp.pipeline.agent_call import EncodedValue
from streamapp.pipeline.handover import Handover, undecodable
from streamapp.pipeline.replay_topics import replay_topic_of
from streamapp.pipeline.topology import Segment, Step, Topology
from streamapp.runtime.decoders import Decoders
from streamapp.serialisation import codec_for


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A stage that reads a replay topic.

    Attributes:
        pipeline, stage: its names.
        step: the stage as it is declared now.
        group: consumer group that reads the topic.
        topic: its replay topic.
        dead_letters: its dead-letter topic.
        sources: topics that its segment reads by name.
        decode: makes of a letter what the agent is given.
    """

    pipeline: str
    stage: str
    step: Step
    group: str
    topic: str
    dead_letters: str
    sources: tuple[str, ...]
    decode: Callable[[Letter], Any]

    @property
    def name(self) -> str:
        """Pipeline and stage."""
        return f"{self.pipeline}.{self.stage}"

    def read(self, letter: Letter) -> Any:
        """What the agent of the stage would be given.

        Raises:
            DecodeError: the stage cannot read the letter.
        """
        try:
            return self.decode(letter)
        except Exception as error:
            failure = undecodable(letter.value, error)
            if failure is error:
                raise
            raise failure from error


class Targets:
    """The stages of pipelines as targets; a renamed stage gets the letters of its old name too.

    Args:
        topologies: the pipelines.
        stage: send all letters to this stage, whatever they say; of one pipeline.

    Raises:
        ConfigurationError: there is no such stage, or nothing can be sent to it.
    """

    def __init__(self, topologies: Iterable[Topology], stage: str | None = None) -> None:
        self._by_name: dict[tuple[str, str], Target] = {}
        self.all: list[Target] = []
        self._readers: dict[tuple[str, str], str] = {}
        self._chosen: Target | None = None
        for topology in topologies:
            for segment in topology.segments:
                self._add(segment)
        if self._readers and (not self.all or stage in {name for _, name in self._readers}):
            name, reader = next(iter(self._readers.items()))
            raise ConfigurationError(_no_replay(stage or name[1], reader))
        if stage is not None:
            self._chosen = self._named(stage)

    def of(self, letter: Letter) -> Target | None:
        """The stage that a letter goes back to; `None` if it is no stage of these pipelines."""
        if self._chosen is not None:
            return self._chosen
        return self._by_name.get((letter.told.pipeline, letter.told.stage))

    def is_read_otherwise(self, letter: Letter) -> bool:
        """Whether its stage reads no replay topic, because another library reads its topics."""
        return (letter.told.pipeline, letter.told.stage) in self._readers

    def _add(self, segment: Segment) -> None:
        if segment.reader is not None:
            names = ((segment.pipeline, step.stage.stage_id) for step in segment.steps)
            self._readers |= dict.fromkeys(names, segment.reader.in_words)
            return
        for index, step in enumerate(segment.steps):
            stage = step.stage.stage_id
            target = Target(
                segment.pipeline,
                stage,
                step,
                segment.group,
                replay_topic_of(f"{segment.pipeline}.{stage}"),
                step.dead_letters,
                segment.source_topics,
                _decoder(segment, index),
            )
            self.all.append(target)
            self._by_name[segment.pipeline, stage] = target
            if step.renamed_from is not None:
                self._by_name.setdefault((segment.pipeline, step.renamed_from), target)

    def _named(self, stage: str) -> Target:
        found = [target for target in self.all if target.stage == stage]
        if len(found) != 1:
            names = ", ".join(target.stage for target in self.all)
            raise ConfigurationError(
                f"dead letters cannot be sent to stage {stage!r}: there are {names or 'none'}"
            )
        return found[0]


def _no_replay(stage: str, reader: str) -> str:
    return (
        f"dead letters cannot be sent back to stage {stage!r}: the {reader} reads its topics, and"
        " no replay topic; `streamapp dlq export` them, and write them to its source"
    )


def _decoder(segment: Segment, index: int) -> Callable[[Letter], Any]:
    if index == 0:
        decoders = Decoders(segment)

        def decode(letter: Letter) -> Any:
            return decoders.of_former_source(letter.told.topic or letter.place.topic)(
                letter.value  # type: ignore[arg-type]  # None raises, and is told apart
            )

        return decode
    given = codec_for(segment.steps[index - 1].stage.agent.output_type)
    handover = Handover(given, segment.steps[index].codec)

    def unpack(letter: Letter) -> Any:
        return handover.unpack(handover.pack(EncodedValue(letter.value)))

    return unpack
