"""Every line of a process is JSON where that is asked, whatever the user's code does wrong.

The module of the pipeline does it while it is imported, so that no Kafka is needed.
"""

from pathlib import Path

import orjson
import pytest

from streamapp.cli.exit_codes import ExitCode
from tests.cli import streamapp

CANARY = "canary-4111"

BEGIN = """
import asyncio, gc, logging, sys, threading, warnings

canary = "-".join(("canary", "4111"))  # not in the lines of code that a stack quotes
log = logging.getLogger("shop.agent")

def fail(*_):
    raise ValueError(canary)

class Unprintable:
    __str__ = __repr__ = fail

class Finalised:
    __del__ = fail

async def forget():
    asyncio.ensure_future(fail_later())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

async def fail_later():
    fail()

"""

FIRST_LINE = BEGIN.count("\n") + 1

UNWRITABLE = [
    ('log.info("%d", canary)', "shop.agent", "TypeError"),
    ('log.info("%s %s", canary)', "shop.agent", "TypeError"),
    ('log.info("%s", Unprintable())', "shop.agent", "ValueError"),
    ('log.info("n", extra={"amount": Unprintable()})', "shop.agent", "ValueError"),
    ('log.info("n", extra={canary: {(1, 2): 3, "n": 2**70}})', "shop.agent", "TypeError"),
    ('logging.getLogger("asyncio").error("%d", canary)', "asyncio", "TypeError"),
    ('logging.getLogger("streamapp.x").info("%d", canary)', "streamapp.x", "TypeError"),
]

WRITABLE = [
    ('log.info("file %s", "a\\udcff.txt")', "file a?.txt"),
    ('log.info("n", extra={"amount": 2**70})', "n"),
    ('warnings.warn("old")', "UserWarning: old"),
    ("t = threading.Thread(target=fail, name='mine'); t.start(); t.join()", "thread mine ended"),
    ("Finalised()", "ValueError was raised where nothing can catch it"),
    ("asyncio.run(forget()); gc.collect()", "Task exception was never retrieved"),
    ("import atexit; atexit.register(sys.intern, 4)", "TypeError was raised where nothing can"),
]


def run(folder: Path, *wrong: str, log_format: str = "json") -> tuple[int, list[str]]:
    """The exit code of a command that imports the module, and the lines that it wrote."""
    (folder / "mine.py").write_text(BEGIN + "\n".join(wrong))
    done = streamapp("run", "mine:pipeline", "--log-format", log_format, cwd=folder)
    written = done.stdout + done.stderr
    assert CANARY not in written
    return done.returncode, written.splitlines()


def test_a_line_that_cannot_be_written_is_replaced_by_one_that_says_where_it_is(
    tmp_path: Path,
) -> None:
    code, lines = run(tmp_path, *(wrong for wrong, _, _ in UNWRITABLE))
    *found, last = map(orjson.loads, lines)
    for number, (line, (_, logger, error)) in enumerate(
        zip(found, UNWRITABLE, strict=True), FIRST_LINE
    ):
        assert line["logger"] == logger
        place = f"{tmp_path}/mine.py:{number}"
        told = f"a log line of logger {logger} at {place} could not be written: {error};"
        assert line["text"].startswith(told)
    assert "pipeline" in last["text"], code


def test_a_plain_line_that_cannot_be_written_is_replaced_by_one_line(tmp_path: Path) -> None:
    _, (line, _) = run(tmp_path, 'log.warning("%d", canary)', log_format="plain")
    assert f"Z WARNING shop.agent a log line of logger shop.agent at {tmp_path}" in line


def test_what_python_itself_would_print_is_json(tmp_path: Path) -> None:
    code, lines = run(tmp_path, *(wrong for wrong, _ in WRITABLE))
    texts = [orjson.loads(line)["text"] for line in lines]
    for _, text in WRITABLE:
        assert any(text in written for written in texts), (text, lines)
    assert code == ExitCode.CONFIGURATION


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("sys.exit(canary)", "SystemExit"), ("raise type('X', (BaseException,), {})(canary)", "X")],
)
def test_a_process_that_ends_by_what_is_no_exception_says_so_in_json(
    tmp_path: Path, wrong: str, error: str
) -> None:
    code, [line] = run(tmp_path, wrong)
    assert orjson.loads(line)["text"] == f"the process is ended by {error}"
    assert code == 1
