"""A step of a segment, compiled: call the agent, take over what it gives.

Hot path: `call` and `accept` run once for each attempt.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor
from itertools import islice
from typing import Any

from streamapp.errors import (
    DecodeError,
    EncodeError,
    TooManyOutputsError,
)
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import KEEP, Out
from streamapp.pipeline.signature import Shape
from streamapp.pipeline.topology import Segment
from streamapp.policies.describe import describe
from streamapp.record import Headers
from streamapp.runtime.target import Target
from streamapp.runtime.threads import in_thread
from streamapp.runtime.work import Item, Output, Work
from streamapp.serialisation import Codec, codec_for


class StepRunner:
    """One stage's agent with its codecs, targets and counters.

    Attributes:
        index: place in the segment.
        function: the agent; one that yields is collected into a list.
        decode: bytes to what the agent takes.
        encode: what the agent gives to bytes.
        plain: class of an output that may go to `plain_target` as it is; `None` without one.
        plain_target: topic of outputs that name no other; `None` if a fused step takes them.
        stage_id: name of the stage.
        policy: its error policy.
        is_async: whether `call` gives an awaitable.
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
        agent, config = step.stage.agent, step.stage.config
        self.index = index
        self.pipeline = segment.pipeline
        self.stage_id = step.stage.stage_id
        self.policy = config.policy
        self.timeout_seconds = config.timeout_seconds
        self.codec = step.codec
        self.decode = step.codec.decode
        self.metrics = metrics
        self.dead_letters = targets[step.dead_letters]
        self.is_async = agent.blocking or agent.shape in (Shape.ASYNC, Shape.ASYNC_ITERATOR)
        self.takes_context = agent.takes_context
        self._is_last = index == len(segment.steps) - 1
        self._max_outputs = config.max_outputs_per_record
        self.function = _collected(agent.function, agent.shape, self._max_outputs)
        if agent.blocking:
            self.function = in_thread(self.function, threads)
        self._given: Codec[Any] = codec_for(agent.output_type)
        self.encode = self._given.encode
        self._output = None if step.output is None else targets[step.output.name]
        self.plain_target = self._output
        # A list or an `Out` is never plain, nor is what any class could be.
        own = self._given.instance_of
        self.plain = None if own in (object, list, Out) else own
        self._routes = {name: targets[topic.name] for name, topic in step.routes.items()}

    def call(self, work: Work) -> Any:
        """Call the agent; for an async one the result is to be awaited.

        The first step decodes the record for each attempt anew, so that an agent which changed
        its input and failed gets it unchanged.

        Raises:
            DecodeError: the record's bytes are not what the schema says.
        """
        item = work.item
        value = self._load(work) if item is None else item.value
        if self.takes_context:
            context = Context(self.pipeline, self.stage_id, work.record, work.failures + 1)
            return self.function(value, context)
        return self.function(value)

    def accept(self, work: Work, result: Any) -> int:
        """Take over what an attempt gave: all of it, or nothing and an error.

        Returns:
            How many outputs it gave.

        Raises:
            RecordError: there are too many, or one is of the wrong type, too large or has an
                unknown route.
        """
        if result is None:
            return 0
        origin = work.record if work.item is None else work.item
        if type(result) is not list:
            _place(work, self._output_of(result, origin.key, origin.headers))
            return 1
        count = len(result) + len(work.outputs or ()) + len(work.pending or ())
        if count > self._max_outputs:
            raise TooManyOutputsError(
                f"{count} outputs of one record; max_outputs_per_record is {self._max_outputs}"
            )
        # All are made before the first is placed: a failed attempt leaves nothing behind.
        made = [self._output_of(one, origin.key, origin.headers) for one in result]
        for one in made:
            if type(one) is tuple:
                _place(work, one)
        for one in reversed(made):  # the next item stands last
            if type(one) is Item:
                _place(work, one)
        return len(result)

    def pass_on(self, work: Work) -> None:
        """Let the data flow on unchanged: the policy `skip`."""
        record, item = work.record, work.item
        if self.index == 0 and self._output is not None:
            self._output.check(record.key, record.value or b"", record.headers)
            _place(work, (self._output, record.key, record.value, record.headers))
        else:
            value = self._load(work) if item is None else item.value
            origin = record if item is None else item
            _place(work, self._output_of(value, origin.key, origin.headers))

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

    def _output_of(self, value: Any, key: bytes | None, headers: Headers) -> Output | Item:
        target = self._output
        onward = target is None
        if type(value) is Out:
            key = key if value.key is KEEP else _key_bytes(value.key)
            headers = headers if value.headers is KEEP else _checked_headers(value.headers)
            if value.to is not None:
                target, onward = self._route(value.to), False
            value = value.value
        if not isinstance(value, self._given.instance_of) or (onward and self._is_last):
            raise EncodeError(f"stage {self.stage_id!r} gave {_kind(value)}")
        if target is None:
            return Item(self.index + 1, value, key, headers)
        try:
            encoded = self._given.encode(value)
        except (ValueError, TypeError) as error:
            raise self.unwritable(error) from error
        if headers or key is None or len(encoded) + len(key) > target.roomy_bytes:
            target.check(key, encoded, headers)
        return target, key, encoded, headers

    def _route(self, name: str) -> Target:
        try:
            return self._routes[name]
        except KeyError:
            known = ", ".join(sorted(self._routes)) or "none"
            raise EncodeError(
                f"stage {self.stage_id!r} sent an output to={name!r}; its routes are: {known}"
            ) from None


def _collected(function: Callable[..., Any], shape: Shape, limit: int) -> Callable[..., Any]:
    """Make a function that yields one that returns a list, no longer than one over the limit."""
    if shape is Shape.ITERATOR:
        return lambda *args: list(islice(function(*args), limit + 1))
    if shape is Shape.ASYNC_ITERATOR:

        async def collect(*args: Any) -> list[Any]:
            found: list[Any] = []
            outputs = function(*args)
            try:
                async for one in outputs:
                    found.append(one)
                    if len(found) > limit:
                        break
            finally:
                if isinstance(outputs, AsyncGenerator):
                    await outputs.aclose()
            return found

        return collect
    return function


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


def _key_bytes(key: object) -> bytes | None:
    if key is None or type(key) is bytes:
        return key
    # Of the plain types from here on: a user's own may hash and encode as it likes.
    if isinstance(key, str):
        return str.encode(key)
    if isinstance(key, bytes):
        return bytes(memoryview(key))
    raise EncodeError(f"the key of an output is {_kind(key)}; give bytes, text or None")


def _checked_headers(headers: Headers) -> Headers:
    """Headers as pairs of text and bytes: anything else would break the batch it goes into."""
    try:
        pairs: list[tuple[Any, Any]] = [(name, content) for name, content in headers]
    except (TypeError, ValueError):
        raise EncodeError("the headers of an output are pairs of a name and bytes") from None
    return [(_header_name(name), _header_content(content)) for name, content in pairs]


def _header_name(name: object) -> str:
    if not isinstance(name, str):
        raise EncodeError(f"the name of a header of an output is {_kind(name)}, not text")
    try:
        return str.encode(name).decode()
    except UnicodeError as error:
        raise EncodeError("the name of a header of an output cannot be UTF-8") from error


def _header_content(content: object) -> bytes:
    if content is None or type(content) is bytes:
        return content  # type: ignore[return-value]  # Kafka's headers may be null
    if isinstance(content, bytes):
        return bytes(memoryview(content))
    raise EncodeError(f"a header of an output holds {_kind(content)}, not bytes")


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"
