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
from streamapp.runtime.target import Target
from streamapp.runtime.work import Item, Output, Work
from streamapp.serialisation import Codec, codec_for


class StepRunner:
    """One stage's agent with its codecs, targets and counters.

    Attributes:
        index: place in the segment.
        agent: how the agent is called.
        decode: bytes to what the agent takes.
        encode: what the agent gives to bytes.
        plain_target: topic of outputs that name no other; `None` if a fused step takes them.
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
        targets: Mapping[str, Target],
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
        self.decode = step.codec.decode
        self.metrics = metrics
        self.dead_letters = targets[step.dead_letters]
        self._is_last = index == len(segment.steps) - 1
        self._given: Codec[Any] = codec_for(step.stage.agent.output_type)
        self.encode = self._given.encode
        self._output = None if step.output is None else targets[step.output.name]
        self.plain_target = self._output
        self._routes = {name: targets[topic.name] for name, topic in step.routes.items()}
        self.agent = AgentCall(
            step.stage.agent,
            stage_id=self.stage_id,
            gives=self._given.instance_of,
            routes=self._routes,
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
            context = Context(self.pipeline, self.stage_id, work.record, work.failures + 1)
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
        made = [self._made(one, origin.key, origin.headers) for one in outputs]
        for one in made:
            if type(one) is tuple:
                _place(work, one)
        for one in reversed(made):  # the next item stands last
            if type(one) is Item:
                _place(work, one)
        return len(made)

    def pass_on(self, work: Work) -> None:
        """Let the data flow on unchanged: the policy `skip`."""
        record, item = work.record, work.item
        if self.index == 0 and self._output is not None:
            self._output.check(record.key, record.value or b"", record.headers)
            _place(work, (self._output, record.key, record.value, record.headers))
        else:
            value = self._load(work) if item is None else item.value
            origin = record if item is None else item
            _place(work, self._made(self.agent.output(value), origin.key, origin.headers))

    def encode_input(self, item: Item) -> bytes:
        """Bytes that a topic in front of this step would hold for the item."""
        return self.codec.encode(item.value)

    def _load(self, work: Work) -> Any:
        value = work.record.value
        try:
            return self.decode(value)  # type: ignore[arg-type]  # None raises, and is told apart
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

    @staticmethod
    def unwritable(error: Exception) -> EncodeError:
        """What it means that an output was refused with this error."""
        failure = EncodeError(f"an output cannot be written: {describe(error)}")
        failure.__cause__ = error
        return failure

    def _made(
        self, output: agent_call.Output, key: bytes | None, headers: Headers
    ) -> Output | Item:
        """An output on its way to a topic, or as an item of the next step."""
        key = key if output.key is KEEP else output.key
        headers = headers if output.headers is KEEP else output.headers
        target = self._output if output.route is None else self._routes[output.route]
        if target is None:
            if self._is_last:
                raise EncodeError(f"stage {self.stage_id!r} gave an output and has no topic for it")
            return Item(self.index + 1, output.value, key, headers)
        try:
            encoded = self._given.encode(output.value)
        except (ValueError, TypeError) as error:
            raise self.unwritable(error) from error
        if headers or key is None or len(encoded) + len(key) > target.roomy_bytes:
            target.check(key, encoded, headers)
        return target, key, encoded, headers


def _place(work: Work, one: Output | Item) -> None:
    if isinstance(one, tuple):
        if work.outputs is None:
            work.outputs = [one]
        else:
            work.outputs.append(one)
    elif work.pending is None:
        work.pending = [one]
    else:
        work.pending.append(one)
