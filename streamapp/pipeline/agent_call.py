"""Calls an agent and turns its result into outputs.

The same code for every way to run a stage: it knows nothing of bytes, topics or brokers.

Hot path: `function` is called once for each attempt, with a value and, if `takes_context`, a
`Context`.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from streamapp.errors import EncodeError, TooManyOutputsError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.batch_call import BatchCall, Many
from streamapp.pipeline.out import KEEP, Keep, Out
from streamapp.pipeline.part_figures import Figures, counting
from streamapp.pipeline.signature import Shape
from streamapp.pipeline.threads import in_thread
from streamapp.policies.describe import describe
from streamapp.record import Headers
from streamapp.serialisation import Codec

if TYPE_CHECKING:
    from streamapp.pipeline.middleware import StageMiddleware

CANCEL_AGAIN_SECONDS = 5.0
"""How long an agent may clean up after it was cancelled, before it is cancelled again.

The same time that a client may take to close (`RuntimeConfig.stop_timeout_seconds`).
"""

AgentOutput: TypeAlias = tuple[Any, bytes | Keep | None, Headers | Keep, str | None]
"""One checked output of an attempt: value, key, headers, and the name of its route.

Key and headers may be `KEEP`, which means those of the input. The route `None` is the stage's own
output topic. A plain tuple, because a named tuple takes five times as long to make.
"""


class EncodedValue:
    """An output that is encoded already, in place of its value; without bytes it is a tombstone.

    A generator may go on to change what it has yielded, so each output is encoded when it comes.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes | None) -> None:
        self.data = data


class CheckedOutputs(list[AgentOutput]):
    """The outputs of a generator: each is checked, and its value encoded, when it comes."""


class AgentCall:
    """An agent, ready to be called.

    Attributes:
        function: calls the agent; the outputs of a generator are collected into a list.
        is_async: whether the result of `function` is awaited.
        takes_context: whether `function` takes a `Context` as well.
        many: calls a batch agent with several values; `None` for other agents.
        plain: class of results that are each one output with the key and headers of the input;
            `None` if a result of the output type may be something else.

    Args:
        agent: the agent.
        stage_id: name of the stage, for errors.
        gives: codec of the outputs; each value must be an instance of its class.
        routes: names that `Out(to=…)` may use.
        max_outputs: an attempt with more outputs fails.
        threads: thread pool for a blocking agent; `None` is that of the event loop.
        middleware: what runs around each call; `None` for nothing.
        parts: where the calls of the agent's parts are counted; `None` for nowhere.
    """

    def __init__(
        self,
        agent: Agent[Any, Any],
        *,
        stage_id: str,
        gives: Codec[Any],
        routes: Collection[str],
        max_outputs: int,
        threads: Executor | None,
        middleware: "StageMiddleware | None" = None,
        parts: Figures | None = None,
    ) -> None:
        self._gives = gives
        self.is_async = agent.is_async
        self.takes_context = agent.takes_context
        self.function = self._collected(agent.function, agent.shape, max_outputs)
        if agent.blocking:
            self.function = in_thread(self.function, threads)
        if parts:
            self.function = counting(self.function, parts, is_async=self.is_async)
        self.many: Many | None = None
        if agent.batching is not None:
            batch = BatchCall(agent, self.function, stage_id)
            self.function = batch.one
            self.many = batch.many if middleware is None else middleware.around_each(batch.many)
        if middleware is not None:
            self.function = middleware.around(
                self.function, is_async=self.is_async, takes_context=self.takes_context
            )
            self.is_async = self.takes_context = True
        # A list or an `Out` is never plain, nor is what any class could be.
        self.plain = None if gives.instance_of in (object, list, Out) else gives.instance_of
        self._has_null = gives.instance_of is object and _reads_null(gives)
        self._stage_id = stage_id
        self._routes = routes
        self._max_outputs = max_outputs

    def outputs(self, result: Any, already: int = 0) -> Sequence[AgentOutput]:
        """The outputs of a result: none, one, or those of a list.

        Args:
            result: what `function` returned, awaited if the agent is async.
            already: outputs that earlier steps made of the same record.

        Raises:
            RecordError: there are too many outputs, or one has a wrong type, an unknown route, or a
                key or headers that no record can have.
        """
        if result is None:
            return ()
        if type(result) is not list and type(result) is not CheckedOutputs:
            return (self.output(result),)
        count = len(result) + already
        if count > self._max_outputs:
            raise TooManyOutputsError(
                f"{count} outputs of one record; max_outputs_per_record is {self._max_outputs}"
            )
        return result if type(result) is CheckedOutputs else [self.output(one) for one in result]

    def output(self, value: Any) -> AgentOutput:
        """One output, given as a value or as an `Out`.

        Raises:
            EncodeError: it is of the wrong type, names an unknown route, or has a key or headers
                that no record can have.
        """
        key: bytes | Keep | None = KEEP
        headers: Headers | Keep = KEEP
        route: str | None = None
        if type(value) is Out:
            key = KEEP if value.key is KEEP else key_bytes(value.key)
            headers = KEEP if value.headers is KEEP else checked_headers(value.headers)
            route = value.to
            if route is not None and route not in self._routes:
                raise self._unknown_route(route)
            value = value.value
            if value is None and self._gives.tombstones:
                return EncodedValue(None), key, headers, route
            if value is None and not self._has_null:
                raise self._undeclared_tombstone()
        if value is None and not self._has_null:
            raise EncodeError(f"stage {self._stage_id!r} gave None among its outputs; leave it out")
        if not isinstance(value, self._gives.instance_of):
            value = self._promoted(value)
        return value, key, headers, route

    def _undeclared_tombstone(self) -> EncodeError:
        return EncodeError(
            f"stage {self._stage_id!r} gave Out(None), a tombstone, but its type declares none;"
            " annotate the outputs of its agent as Out[X | None]"
        )

    def _promoted(self, value: Any) -> Any:
        """An integer where a float is declared, as type checkers take it.

        Raises:
            EncodeError: it is of another type, or the float would be another number.
        """
        if self._gives.instance_of is float and isinstance(value, int):
            with suppress(OverflowError):
                if (promoted := float(value)) == value:
                    return promoted
            raise EncodeError(f"stage {self._stage_id!r} gave an integer that no float is equal to")
        raise EncodeError(
            f"stage {self._stage_id!r} gave {_kind(value)}, but declares"
            f" {self._gives.instance_of.__name__}"
        )

    def _collected(
        self, function: Callable[..., Any], shape: Shape, limit: int
    ) -> Callable[..., Any]:
        """Make a generator function return its outputs, with at most one over the limit."""
        if shape is Shape.ITERATOR:
            return lambda *args: CheckedOutputs(
                map(self._output_now, islice(function(*args), limit + 1))
            )
        if shape is Shape.ASYNC_ITERATOR:

            async def collect(*args: Any) -> CheckedOutputs:
                found = CheckedOutputs()
                outputs = function(*args)
                try:
                    async for one in outputs:
                        found.append(self._output_now(one))
                        if len(found) > limit:
                            break
                finally:
                    if isinstance(outputs, AsyncGenerator):
                        await outputs.aclose()
                return found

            return collect
        return function

    def _output_now(self, value: Any) -> AgentOutput:
        """An output as it is now, whatever becomes of its value later."""
        output = self.output(value)
        if type(output[0]) is EncodedValue:
            return output
        if self._gives.immutable and type(output[0]) is self._gives.instance_of:
            return output
        try:
            encoded = self._gives.encode(output[0])
        except Exception as error:
            raise unwritable(error) from error
        return EncodedValue(encoded), *output[1:]

    def _unknown_route(self, name: object) -> EncodeError:
        known = ", ".join(sorted(self._routes)) or "none"
        return EncodeError(
            f"stage {self._stage_id!r} sent an output to={name!r}; its routes are: {known}"
        )


def _reads_null(codec: Codec[Any]) -> bool:
    """Whether the null of JSON is one of its values, as where any JSON is."""
    try:
        return codec.decode(b"null") is None
    except Exception:  # noqa: BLE001 - a validator of the user's own may raise anything
        return False


def check_tombstone(value: Any, key: bytes | None) -> None:
    """Refuse a tombstone without a key.

    Raises:
        EncodeError: it is one.
    """
    if key is None and type(value) is EncodedValue and value.data is None:
        raise EncodeError("a tombstone has no key, so it deletes nothing; give Out(None, key=…)")


def key_bytes(key: object) -> bytes | None:
    """The key of an output as bytes; text is encoded as UTF-8.

    Raises:
        EncodeError: it is neither bytes, text nor `None`.
    """
    if key is None or type(key) is bytes:
        return key
    # Make a plain `bytes` of a subclass: it could hash and encode in its own way.
    if isinstance(key, str):
        try:
            return str.encode(key)
        except UnicodeError as error:
            raise unwritable_key(error) from error
    if isinstance(key, bytes):
        return bytes(memoryview(key))
    raise EncodeError(f"the key of an output is {_kind(key)}; give bytes, text or None")


def too_many_bytes(stage_id: str, limit: int) -> TooManyOutputsError:
    """What it means that the outputs of one record take more than so many bytes."""
    return TooManyOutputsError(
        f"the outputs of one record of stage {stage_id!r} take more than {limit} bytes; a larger"
        " max_in_flight_bytes allows more"
    )


def unwritable(error: Exception) -> EncodeError:
    """What it means that a value does not encode."""
    failure = EncodeError(f"an output cannot be written: {describe(error)}")
    failure.__cause__ = error
    return failure


def unwritable_key(error: UnicodeError) -> EncodeError:
    """What it means that a key given as text does not encode."""
    failure = EncodeError("the key of an output cannot be UTF-8")
    failure.__cause__ = error
    return failure


def checked_headers(headers: Headers) -> Headers:
    """Headers as pairs of text and bytes; other types would make the whole batch fail."""
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
