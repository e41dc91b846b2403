import io
import logging
from collections.abc import Iterator

import orjson
import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import BaseModel, ValidationError, field_validator

from streamapp.errors import ConfigurationError, DecodeError
from streamapp.observability.exception_text import describe_exception, sentence_of
from streamapp.observability.logs import (
    CLIENT_LOGGERS,
    LogFormat,
    PlainFormatter,
    configure_logging,
    current_format,
    log_line,
)
from streamapp.observability.repeats import MOST_OF_OURS, RepeatFilter

PAYLOAD = "4111-1111"


class Card(BaseModel):
    number: int


class Checked(BaseModel):
    number: str

    @field_validator("number")
    @classmethod
    def _refuse(cls, number: str) -> str:
        raise ValueError(f"{number} is no number of a card")


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    clients = {name: logging.getLogger(name).level for name in CLIENT_LOGGERS}
    for handler in before[1]:
        root.removeHandler(handler)  # basicConfig(force=True) would close pytest's
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name, level in clients.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def _log_a_validation_error() -> None:
    try:
        try:
            Card.model_validate_json(b'{"number": "%s"}' % PAYLOAD.encode())
        except ValidationError as error:
            raise RuntimeError("stage failed") from error
    except RuntimeError:
        logging.getLogger("streamapp.test").exception("record failed")


def test_a_plain_line_has_time_level_logger_text_and_extras(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    logging.getLogger("streamapp.test").info("started %s", "x", extra={"stage": "validate"})
    assert stream.getvalue()[24:] == " INFO streamapp.test started x stage=validate\n", (
        stream.getvalue()
    )
    assert stream.getvalue()[23] == "Z"


def test_a_line_break_in_a_value_does_not_make_a_second_line(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    logging.getLogger("streamapp.test").info("topic %s", "a\n2000-01-01 CRITICAL forged")
    assert stream.getvalue().count("\n") == 1


def test_a_json_line_is_one_object(stream: io.StringIO) -> None:
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    logging.getLogger("streamapp.test").warning(
        "held %d", 3, extra={"stage": "validate", "level": "not ours"}
    )
    line = orjson.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "streamapp.test",
        "text": "held 3",
        "stage": "validate",
    }


def test_an_extra_that_json_does_not_know_is_written_as_text(stream: io.StringIO) -> None:
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    logging.getLogger("streamapp.test").info("x", extra={"what": object})
    assert orjson.loads(stream.getvalue())["what"] == "<class 'object'>"


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_the_input_of_a_validation_error_is_never_written(
    stream: io.StringIO, log_format: LogFormat
) -> None:
    configure_logging(log_format=log_format, stream=stream)
    _log_a_validation_error()
    assert PAYLOAD not in stream.getvalue()
    assert "number: int_parsing" in stream.getvalue()
    assert "\nRuntimeError" in stream.getvalue().replace("\\n", "\n")


@pytest.mark.parametrize(
    ("level", "client_level"),
    [("DEBUG", logging.INFO), ("info", logging.WARNING), ("ERROR", logging.ERROR)],
)
def test_the_kafka_client_never_logs_at_debug(
    stream: io.StringIO, level: str, client_level: int
) -> None:
    configure_logging(level, stream=stream)
    logger = logging.getLogger("aiokafka.consumer.fetcher")
    assert logger.getEffectiveLevel() == client_level
    logger.debug("key and value %s", PAYLOAD)
    assert stream.getvalue() == ""


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="log level 'LOUD' is unknown"):
        configure_logging("LOUD")


def test_a_library_that_repeats_itself_is_told_once_in_a_while(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    client, ours = logging.getLogger("aiokafka"), logging.getLogger("streamapp.test")
    for node in range(500):
        client.error("Topic %s is not available", node)
        ours.warning("the agent of record %d waits", node)
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if "is not available" in line]) == 1
    assert len([line for line in lines if "waits" in line]) == 500


def test_a_line_of_ours_that_repeats_itself_is_limited_and_told_again_with_its_number() -> None:
    repeats = RepeatFilter(CLIENT_LOGGERS, repeat_seconds=10.0)
    passed = []
    for tenth in range(101):
        line = {"name": "streamapp.x", "msg": "stage %s fails", "args": ("a",)}
        record = logging.makeLogRecord({**line, "created": 100 + tenth / 10})
        if repeats.filter(record):
            passed.append(vars(record).get("repeated"))
    assert passed == [None] * MOST_OF_OURS + [100 - MOST_OF_OURS]


def test_the_next_line_says_how_many_were_left_out() -> None:
    repeats = RepeatFilter(CLIENT_LOGGERS, repeat_seconds=10.0)
    passed = []
    for second in range(21):
        record = logging.makeLogRecord({"name": "aiokafka", "msg": "down", "created": 100 + second})
        if repeats.filter(record):
            passed.append((record.getMessage(), vars(record).get("repeated")))
    assert passed == [("down", None), ("down", 9), ("down", 9)]


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    repeats = RepeatFilter(CLIENT_LOGGERS, repeat_seconds=10.0)
    passed = []
    for created in (1000, 1001, 400, 401, 411):
        record = logging.makeLogRecord({"name": "aiokafka", "msg": "down", "created": created})
        if repeats.filter(record):
            passed.append(created)
    assert passed == [1000, 400, 411]


def test_a_line_that_comes_first_is_written_however_early() -> None:
    early = logging.makeLogRecord({"name": "aiokafka", "msg": "down", "created": 0.0})
    assert RepeatFilter(CLIENT_LOGGERS, repeat_seconds=10.0).filter(early)


def test_unless_told_otherwise_a_library_repeats_itself_after_ten_seconds() -> None:
    repeats = RepeatFilter(CLIENT_LOGGERS)
    passed = [
        repeats.filter(logging.makeLogRecord({"name": "kafka", "msg": "x", "created": 100.0 + at}))
        for at in (0.0, 9.9, 10.0)
    ]
    assert passed == [True, False, True]


def test_lines_that_differ_all_the_time_do_not_fill_the_memory() -> None:
    repeats = RepeatFilter(CLIENT_LOGGERS)
    for number in range(10_000):
        line = {"name": "kafka", "msg": f"text {number}", "created": 100.0}
        assert repeats.filter(logging.makeLogRecord(line))
    assert len(repeats._last) <= 1001
    again = logging.makeLogRecord({"name": "kafka", "msg": "text 9999", "created": 101.0})
    assert not repeats.filter(again)


def test_an_extra_may_have_keys_that_are_no_text(stream: io.StringIO) -> None:
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    logging.getLogger("streamapp.test").info("x", extra={"lags": {0: 5}})
    assert orjson.loads(stream.getvalue())["lags"] == {"0": 5}


def test_a_json_line_has_the_exception(stream: io.StringIO) -> None:
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    _log_a_validation_error()
    exception = orjson.loads(stream.getvalue())["exception"]
    assert exception.endswith("\nRuntimeError")
    assert "ValidationError: number: int_parsing" in exception


def chained(*, hidden: bool) -> RuntimeError:
    error = RuntimeError("second")
    error.__context__ = KeyError("first")
    error.__suppress_context__ = hidden
    return error


def test_what_an_exception_was_raised_over_is_told_unless_it_was_hidden() -> None:
    assert describe_exception(chained(hidden=False)) == "KeyError\nRuntimeError"
    assert "KeyError" not in describe_exception(chained(hidden=True))


def test_causes_in_a_circle_are_told_once() -> None:
    first, second = TypeError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert describe_exception(first) == "ValueError\nTypeError"


def test_lines_that_take_turns_are_repetitions_all_the_same() -> None:
    repeats = RepeatFilter(CLIENT_LOGGERS)
    passed = [
        repeats.filter(logging.makeLogRecord({"name": "kafka", "msg": text, "created": 100.0}))
        for text in ("one", "two", "one", "two")
    ]
    assert passed == [True, True, False, False]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError(PAYLOAD), "ValueError"),
        (OSError(PAYLOAD), "OSError"),
        (FileNotFoundError(2, PAYLOAD, PAYLOAD), "FileNotFoundError: No such file or directory"),
        (ConfigurationError("the topic is missing"), "ConfigurationError: the topic is missing"),
        (KafkaConnectionError("no node"), "KafkaConnectionError: KafkaConnectionError: no node"),
    ],
)
def test_only_sentences_that_cannot_quote_a_record_are_told(error: Exception, told: str) -> None:
    assert describe_exception(error) == told


def test_what_a_check_of_the_user_says_of_a_value_is_not_told() -> None:
    try:
        Checked.model_validate({"number": PAYLOAD})
    except ValidationError as fault:
        refused = DecodeError(f"the value does not decode: {fault}")
        refused.__cause__ = fault
    assert sentence_of(refused) == "number: value_error"


def test_a_task_that_nobody_awaits_does_not_bring_its_error_into_the_log(
    stream: io.StringIO,
) -> None:
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    logging.getLogger("asyncio").error(
        "Task exception was never retrieved\nfuture: <Task exception=ValueError(%r)>", PAYLOAD
    )
    assert PAYLOAD not in stream.getvalue()
    assert orjson.loads(stream.getvalue())["text"] == "Task exception was never retrieved"


def test_a_line_that_a_command_prints_has_the_form_of_the_log(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    assert current_format() is LogFormat.PLAIN
    assert log_line("Kafka    127.0.0.1:9092") == "Kafka    127.0.0.1:9092"
    configure_logging(log_format=LogFormat.JSON, stream=stream)
    assert current_format() is LogFormat.JSON
    line = orjson.loads(log_line("100 % in", logging.ERROR, worker=1))
    assert line.pop("time").endswith("Z")
    assert line == {"level": "ERROR", "logger": "streamapp", "text": "100 % in", "worker": 1}


@pytest.mark.parametrize(("level", "is_written"), [("INFO", False), ("DEBUG", True)])
def test_a_client_is_silent_in_an_outage_but_at_debug(
    stream: io.StringIO, level: str, is_written: bool
) -> None:
    configure_logging(level, stream=stream)
    logging.getLogger("streamapp.x").error("cannot be reached", extra={"outage": "begins"})
    logging.getLogger("aiokafka.client").error("Unable connect to node with id 1")
    assert "cannot be reached outage=begins" in stream.getvalue()
    assert ("Unable connect" in stream.getvalue()) is is_written


@pytest.mark.parametrize("name", CLIENT_LOGGERS)
def test_no_library_writes_debug_lines_whoever_sets_its_level(
    stream: io.StringIO, name: str
) -> None:
    configure_logging("DEBUG", stream=stream)
    for logger in (logging.getLogger(name), logging.getLogger(f"{name}.part")):
        before = logger.level
        logger.setLevel(logging.DEBUG)
        logger.debug("key and value %s", PAYLOAD)
        logger.setLevel(before)
    assert stream.getvalue() == ""


def test_lines_of_agents_are_left_alone(stream: io.StringIO) -> None:
    configure_logging("DEBUG", stream=stream)
    for number in range(100):
        logging.getLogger("models.of_the_user").warning("took %s", number)
        logging.getLogger("models.of_the_user").warning("took one more")
    assert stream.getvalue().count("\n") == 200


def test_lines_that_do_not_come_again_are_told_with_their_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    repeats = RepeatFilter(CLIENT_LOGGERS, repeat_seconds=10.0)

    def passes(name: str, msg: str, created: float) -> bool:
        line = {"name": name, "msg": msg, "created": created, "levelno": logging.WARNING}
        return bool(repeats.filter(logging.makeLogRecord(line)))

    assert [passes("aiokafka", "down", 100.0 + at) for at in range(5)] == [True] + [False] * 4
    assert passes("streamapp.x", "going on", 115.0)
    assert not caplog.messages  # it may come again
    assert passes("streamapp.x", "going on", 130.0)
    [told] = caplog.records
    assert (told.name, told.getMessage(), vars(told)["repeated"]) == ("aiokafka", "down", 4)
    assert repeats.filter(told)
    assert passes("streamapp.x", "going on", 150.0)
    assert len(caplog.records) == 1


def _failed(value: str) -> logging.LogRecord:
    try:
        int(value)
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    return logging.LogRecord("mine", logging.ERROR, "mine.py", 1, "it failed", (), info)


def test_the_text_of_an_exception_is_neither_taken_from_other_handlers_nor_left_to_them() -> None:
    theirs, ours = logging.Formatter(), PlainFormatter()
    record = _failed("card 4711")
    assert "card 4711" in theirs.format(record)
    assert "card 4711" not in ours.format(record)
    record = _failed("card 4711")
    assert "card 4711" not in ours.format(record)
    assert "card 4711" in theirs.format(record)
