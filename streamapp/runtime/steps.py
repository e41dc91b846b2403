"""A step of a segment at work: a stage's agent with its codecs, topics and counters.

Hot path: `call` and `accept` run once for each attempt that is not part of a burst.
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from streamapp.errors import DecodeError, EncodeError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline import agent_call
from streamapp.pipeline.agent_call import AgentCall
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import KEEP
from streamapp.pipeline.topology import Segment
from streamapp.policies.describe import describe
from streamapp.record import Headers
from streamapp.runtime.dead_letters import without_error_headers
from streamapp.runtime.encoding import encoder_for
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.work import Item, Output, Work
from streamapp.serialisation import Codec, codec_for
from streamapp.topics.topic import Topic


class StepRunner:
    """One stage's agent with its codecs, targets and counters.

    Attributes:
        index: place in the segment.
        agent: how the agent is called.
        decoders: bytes to what the agent takes, by the topic that they were read from; only the
            first step of a segment has some.
        outlets: topic and encoder of outputs by the route that they name; `None` names the stage's
            own output, which is missing where a fused step takes it, or where there is none.
        stage_id: name of the stage.
        policy: its error policy.
        timeout_seconds: deadline of one attempt.
        codec: codec of what it takes.
        dead_letters: its dead-letter topic.
        metrics: its counters.
    """

    def __init__(
        self,
        segment: Segment,
        index: int,
        targets: Mapping[str, OutputTopic],
        metrics: StageMetrics,
        threads: Executor,
    ) -> None:
        step = segment.steps[index]
        config = step.stage.config
        self.index = index
        self.pipeline = segment.pipeline
        self.stage_id = step.stage.stage_id
        self.policy = config.policy
        self.timeout_seconds = config.timeout_seconds
        self.codec = step.codec
        sources = segment.sources if index == 0 else ()
        self.decoders = {source.topic: source.codec.decode for source in sources}
        self.metrics = metrics
        self.dead_letters = targets[step.dead_letters]
        self._is_last = index == len(segment.steps) - 1
        given: Codec[Any] = codec_for(step.stage.agent.output_type)
        written: dict[str | None, Topic[Any]] = dict(step.routes.items())
        if step.output is not None:
            written[None] = step.output
        self.outlets = {
            route: (targets[topic.name], encoder_for(given, targets[topic.name]))
            for route, topic in written.items()
        }
        self.agent = AgentCall(
            step.stage.agent,
            stage_id=self.stage_id,
            gives=given.instance_of,
            routes=step.routes,
            max_outputs=config.max_outputs_per_record,
            threads=threads,
        )

    def call(self, work: Work) -> Any:
        """Call the agent; for an async one the result is to be awaited.

        The first step decodes the record for each attempt anew, so that an agent which changed
        its input and failed gets it unchanged.

        Raises:
            DecodeError: the record's bytes are not what the schema says.
        """
        item = work.item
        value = self._load(work) if item is None else item.value
        if self.agent.takes_context:
            name, attempt = work.partition.name, work.failures + 1
            context = Context(self.pipeline, self.stage_id, *name, work.record, attempt)
            return self.agent.function(value, context)
        return self.agent.function(value)

    def accept(self, work: Work, result: Any) -> int:
        """Take over what an attempt gave: all of it, or nothing and an error.

        Returns:
            How many outputs it gave.

        Raises:
            RecordError: there are too many, or one is of the wrong type, too large or has an
                unknown route.
        """
        outputs = self.agent.outputs(result, len(work.outputs or ()) + len(work.pending or ()))
        origin = work.record if work.item is None else work.item
        # All are made before the first is placed: a failed attempt leaves nothing behind.
        headers = without_error_headers(origin.headers)
        made = [self.make_output(one, origin.key, headers) for one in outputs]
        for one in made:
            if type(one) is tuple:
                _keep_output(work, one)
        for one in reversed(made):  # the next item stands last
            if type(one) is Item:
                _keep_output(work, one)
        return len(made)

    def pass_on(self, work: Work) -> None:
        """Let the data flow on unchanged: the policy `skip`."""
        record, item = work.record, work.item
        if self.index == 0 and None in self.outlets:
            target, _ = self.outlets[None]
            headers = without_error_headers(record.headers)
            target.check(record.key, record.value or b"", headers)
            _keep_output(work, (target, record.key, record.value, headers))
        else:
            value = self._load(work) if item is None else item.value
            origin = record if item is None else item
            headers = without_error_headers(origin.headers)
            _keep_output(work, self.make_output(self.agent.output(value), origin.key, headers))

    def encode_input(self, item: Item) -> bytes:
        """Bytes that a topic in front of this step would hold for the item."""
        return self.codec.encode(item.value)

    def _load(self, work: Work) -> Any:
        value = work.record.value
        try:
            return self.decoders[work.partition.name.topic](value)  # type: ignore[arg-type]  # None raises, and is told apart
        except Exception as error:
            failure = self.undecodable(value, error)
            if failure is error:
                raise
            raise failure from error

    @staticmethod
    def undecodable(value: bytes | None, error: Exception) -> Exception:
        """What it means that a record's value was refused with this error."""
        if value is None:
            failure = DecodeError("the record has no value (a tombstone), but the stage takes one")
        elif isinstance(error, ValueError):
            failure = DecodeError(f"the value does not decode: {describe(error)}")
        else:
            return error  # of a validator of the user's own
        failure.__cause__ = error
        return failure

    def make_output(
        self, output: agent_call.Output, key: bytes | None, headers: Headers
    ) -> Output | Item:
        """An output on its way to a topic, or as an item of the next step.

        Raises:
            RecordError: it cannot be written, or there is no topic for it.
        """
        value, own_key, own_headers, route = output
        key = key if own_key is KEEP else own_key
        headers = headers if own_headers is KEEP else own_headers
        if route not in self.outlets:
            if self._is_last:
                raise EncodeError(f"stage {self.stage_id!r} gave an output and has no topic for it")
            return Item(self.index + 1, value, key, headers)
        topic, encode = self.outlets[route]
        return topic, key, encode(value, key, headers), headers


def _keep_output(work: Work, one: Output | Item) -> None:
    if isinstance(one, tuple):
        if work.outputs is None:
            work.outputs = [one]
        else:
            work.outputs.append(one)
    elif work.pending is None:
        work.pending = [one]
    else:
        work.pending.append(one)
