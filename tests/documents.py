"""Follows documents as a reader does: runs their blocks in order, in a copy of a fresh checkout.

- A `python`, `yaml` or `json` block after a paragraph that ends with a colon and names a file in
  backquotes or as a link is that file; where the checkout has the file, the two must be the same.
- All other `python` blocks of a document are one program.
- A `sh` block is run by bash and must end with 0.
- A `text` block is the output of the `sh` block before it: its lines must occur in this order.
  `...` matches any lines. Times and rates may differ, and all numbers if the command processed
  fewer records.
- Other blocks are not run.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamapp.local_kafka.broker import DevBroker
from streamapp.local_kafka.ports import PortChooser
from streamapp.local_kafka.watchdog import Watchdog

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 120

TESTED_ELSEWHERE = (
    "make test",  # this test is a part of it
    "python -m tests.verifier LEDGER",  # stands for a file; the README runs it with a real one
    "pytest tests/integration/test_crash.py",  # a test of this suite
)
"""Beginnings of commands that are not run here."""

SMALLER = ((r"--records 50000\b", "--records 3000"), (r"--records 20000\b", "--records 2000"))
"""The same commands with less to do."""

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w./-]+\.(?:py|ya?ml|json))`(?:\]\([^)]*\))?[^`]*:$")
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", ".*_cache", ".streamapp", "__pycache__")
_NUMBER = re.compile(r" *\d[\d,.]*")
_MEASURED = re.compile(r"\d[\d,.]*(?= ?(?:s\b|us\b|ms\b|/s|records/s))")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        language: the word after the fence.
        text: its lines.
        line: number of its first line in the document.
        file: the file that has this text, if the paragraph before the block names one.
    """

    language: str
    text: str
    line: int
    file: str | None


def documents() -> list[Path]:
    """The README and everything under docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    for match in _BLOCK.finditer(text):
        before = text[: match.start()].rstrip().rpartition("\n\n")[2].replace("\n", " ")
        named = _FILE.search(before)
        line = text.count("\n", 0, match.start()) + 2
        yield Block(match[1].strip(), match[2], line, named[1] if named else None)


class Reader:
    """Follows one document.

    Args:
        document: what to follow.
        folder: where the copy of the checkout is made.
    """

    def __init__(self, document: Path, folder: Path) -> None:
        self._name = str(document.relative_to(ROOT))
        self._blocks = list(blocks(document.read_text()))
        self._checkout = folder / "checkout"
        ports = PortChooser(random.Random())
        self._ports = {port: str(ports.choose()) for port in ("9092", "9464", "9465")}
        self._printed = ""
        self._varies = _MEASURED

    def follow(self) -> None:
        """Run the document from its beginning to its end."""
        _copy_checkout(self._checkout)
        self._run_program()
        brokers = self._checkout / ".streamapp" / "broker"
        guard = Watchdog(brokers)
        try:
            for block in self._blocks:
                self._follow_block(block)
        finally:
            DevBroker(brokers).down()
            guard.dismiss()

    def _follow_block(self, block: Block) -> None:
        if block.language == "sh":
            self._run_shell(block)
        elif block.language == "text":
            self._compare_output(block)
        elif block.file is not None:
            self._write_file(block, block.file)

    def _write_file(self, block: Block, name: str) -> None:
        path = self._checkout / name
        if (ROOT / name).exists():
            # A document may leave out the docstring at the top.
            assert path.read_text().endswith(block.text), f"{self._where(block)} is not {name}"
        else:
            path.write_text(block.text)

    def _run_program(self) -> None:
        """Run the `python` blocks that are no files, with empty lines in place of the rest."""
        program = ""
        for block in self._blocks:
            if block.language == "python" and block.file is None:
                program += "\n" * (block.line - 1 - program.count("\n")) + block.text
        if program:
            path = self._checkout / f"{Path(self._name).stem.replace('-', '_')}_blocks.py"
            path.write_text(program)
            self._run([sys.executable, str(path)], self._name)

    def _run_shell(self, block: Block) -> None:
        script = block.text
        for pattern, replacement in SMALLER:
            script = re.sub(pattern, replacement, script)
        for port, free in self._ports.items():
            script = re.sub(rf"\b{port}\b", free, script)
        lines = [line for line in script.splitlines() if not line.startswith(TESTED_ELSEWHERE)]
        self._varies = _NUMBER if _has_less_to_do(block.text) else _MEASURED
        self._printed = self._run(["bash", "-euc", "\n".join(lines)], self._where(block))

    def _run(self, command: list[str], where: str) -> str:
        # A process group of its own, so that background processes of a failed block end too.
        process = subprocess.Popen(  # noqa: S603 - the documents' own commands
            command,
            cwd=self._checkout,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.returncode == 0, f"{where} ended with {process.returncode}:\n{printed}"
        return printed

    def _environment(self) -> Mapping[str, str]:
        """That of a user who has the environment active, with the ports of this reader."""
        # Without the flags and ARGS that a make around the tests passes on.
        ours = ("STREAMAPP_KAFKA_", "MAKE", "MFLAGS", "ARGS")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "STREAMAPP_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self._ports['9092']}",
            "STREAMAPP_WEB_PORT": self._ports["9464"],
            "ARGS": "--records 2000",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(self._checkout),
            "COLUMNS": "200",
        }

    def _compare_output(self, block: Block) -> None:
        rest = [self._varies.sub("0", line) for line in self._printed.splitlines()]
        for line in block.text.splitlines():
            expected = self._varies.sub("0", line)
            if expected.strip() == "...":
                continue
            found = next((i for i, had in enumerate(rest) if _is(had, expected)), None)
            assert found is not None, (
                f"{self._where(block)} says {line!r}; printed was:\n{self._printed}"
            )
            rest = rest[found + 1 :]

    def _where(self, block: Block) -> str:
        return f"{self._name}:{block.line}"


def _is(printed: str, expected: str) -> bool:
    return printed.startswith(expected) if expected else not printed


def _has_less_to_do(script: str) -> bool:
    """Whether this test reduces the number of records of a block's commands."""
    return "make demo" in script or any(re.search(pattern, script) for pattern, _ in SMALLER)


def _copy_checkout(folder: Path) -> None:
    """The project as cloned, with this environment as its `.venv`."""
    shutil.copytree(ROOT, folder, ignore=_NOT_COPIED)
    environment = folder / ".venv"
    environment.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != ".installed":
            (environment / path.name).symlink_to(path)
    (environment / ".installed").touch()  # newer than what it is made of: make installs nothing


def anchors(text: str) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    without_code = _BLOCK.sub("", text)
    titles = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text: str) -> list[str]:
    """Targets of a document's links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", _BLOCK.sub("", text))
