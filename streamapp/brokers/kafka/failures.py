"""Translates errors of the Kafka client into ours: what failed, where, why, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors as kafka_errors

from streamapp.errors import (
    BatchRefusedError,
    BrokerError,
    CommitRefusedError,
    TopicError,
    UnreadableRecordError,
)
from streamapp.record import TopicPartition

CLIENT_ERRORS: tuple[type[Exception], ...] = (
    kafka_errors.KafkaError,
    kafka_errors.ConsumerStoppedError,
    kafka_errors.IllegalOperation,
    OSError,
    TimeoutError,
)
"""All errors that aiokafka and its sockets raise; `ssl.SSLError` is an `OSError`."""

LOST_MEMBERSHIP: tuple[type[Exception], ...] = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.IllegalStateError,
)

REFUSED: tuple[type[Exception], ...] = (
    kafka_errors.InvalidTimestampError,  # a record is too far from the broker's clock
    kafka_errors.MessageSizeTooLargeError,  # the batch; a smaller one may be taken
    kafka_errors.RecordListTooLargeError,
)
"""The batch is refused for what is in it."""

PERHAPS_REFUSED: tuple[type[Exception], ...] = (
    kafka_errors.UnknownError,  # also InvalidRecord (87), which the client does not know
    kafka_errors.CorruptRecordException,  # how older brokers refuse a record without a key
    kafka_errors.InvalidRequestError,
    kafka_errors.UnsupportedForMessageFormatError,
    kafka_errors.PolicyViolationError,
)
"""It may be refused for what is in it: then the broker takes other batches of the topic.

All other errors of a produce request are the world's: permissions, leaders, replicas, storage,
sequence numbers, connections. Whatever is in the batch, another one would fail as well.
"""

TOPIC_ERRORS: tuple[type[Exception], ...] = (
    kafka_errors.UnknownTopicOrPartitionError,
    kafka_errors.TopicAlreadyExistsError,
    kafka_errors.InvalidTopicError,
    kafka_errors.InvalidPartitionsError,
    kafka_errors.InvalidReplicationFactorError,
    kafka_errors.InvalidConfigurationError,
    kafka_errors.PolicyViolationError,
)

_ADVICE: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (
            kafka_errors.SaslAuthenticationFailed,
            kafka_errors.AuthenticationFailedError,
            kafka_errors.UnsupportedSaslMechanismError,
        ),
        "check STREAMAPP_KAFKA_USERNAME, _PASSWORD and _SASL_MECHANISM",
    ),
    (
        (
            kafka_errors.TopicAuthorizationFailedError,
            kafka_errors.GroupAuthorizationFailedError,
            kafka_errors.ClusterAuthorizationFailedError,
        ),
        "give the user the ACL it lacks",
    ),
    (
        (kafka_errors.OutOfOrderSequenceNumber, kafka_errors.InvalidProducerEpoch),
        "an earlier batch of this producer failed: stop it and start a new one",
    ),
    (
        (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError),
        "check sizes against the topic's max.message.bytes before sending",
    ),
    (
        (kafka_errors.OffsetMetadataTooLargeError,),
        "metadata of a commit has at most 4,096 bytes",
    ),
    ((OSError, TimeoutError), "check that Kafka runs there and can be reached"),
)


@contextmanager
def reported(doing: str, address: str) -> Iterator[None]:
    """Turn errors of the client that are raised inside into `BrokerError`.

    Args:
        doing: what is being done, such as `group 'a': committing`.
        address: the bootstrap servers.
    """
    try:
        yield
    except CLIENT_ERRORS as error:
        raise broker_error(error, doing, address) from error


def broker_error(error: BaseException, doing: str, address: str) -> BrokerError:
    """The `BrokerError` for an error of the client."""
    return BrokerError(f"{doing} failed at {address}: {reason(error)}")


def produce_error(error: BaseException, doing: str, address: str) -> BrokerError:
    """The error for a batch that was not written: whether the batch or the world is at fault."""
    failure = broker_error(error, doing, address)
    if isinstance(error, (*REFUSED, *PERHAPS_REFUSED)):
        return BatchRefusedError(str(failure), is_certain=isinstance(error, REFUSED))
    return failure


def commit_refused(error: Exception, group: str) -> CommitRefusedError:
    """The error for a commit of a consumer that is not, or no longer, a member of the group."""
    return CommitRefusedError(
        f"group {group!r} refused a commit: this member is not in its generation; its partitions "
        f"went to others, who will read them again ({type(error).__name__})"
    )


def unreadable(
    partition: tuple[str, int], offset: int, group: str, error: BaseException
) -> UnreadableRecordError:
    """The error for a record that the client cannot parse."""
    topic, number = partition
    return UnreadableRecordError(
        f"the record at offset {offset} of topic {topic!r} partition {number} cannot be read "
        f"({_why(error)}): to skip it, stop the workers of group {group!r} and set its offset "
        f"to {offset + 1} with kafka-consumer-groups --reset-offsets",
        partition=TopicPartition(topic, number),
        offset=offset,
    )


def topic_error(topic: str, error: Exception, message: str | None) -> TopicError | BrokerError:
    """The error that the broker returned for a topic: `TopicError` if the topic is at fault."""
    sentence = f"topic {topic!r}: {message or reason(error)}"
    return TopicError(sentence) if isinstance(error, TOPIC_ERRORS) else BrokerError(sentence)


def reason(error: BaseException) -> str:
    """Why it failed, and what to do about it, if that is known."""
    why = _why(error)
    for kinds, advice in _ADVICE:
        if isinstance(error, kinds):
            return f"{why.rstrip('.')}; {advice}"
    return why


def _why(error: BaseException) -> str:
    text = str(error) or getattr(error, "description", None) or ""
    name = type(error).__name__
    return text if name in text else f"{name}: {text}" if text else name
