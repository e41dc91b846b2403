"""The file in which scores outlast a restart; several processes share it.

Each process adds what it has measured itself, so none overwrites what another has: the file is
read, faded to the present, added to and replaced, while no other process may do so.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamapp.atomic_file import locked_folder, replace_file
from streamapp.clock import Clock, SystemClock
from streamapp.errors import RegistryError
from streamapp.registry.scores import SavedAgent, Scores

log = logging.getLogger(__name__)

FILE_NAME = "scores.json"
"""Name of the file in the state folder."""

MOST_BYTES = 64 * 1024 * 1024
"""A larger file was not written by us: 100,000 agents take about 15 MB."""

LOCK_SECONDS = 2.0
"""Longest wait for another process that writes the file: one that hangs must not hold us up."""

LEAST_CALLS = 0.5
"""An agent of whose calls less is left is left out: nothing is known of it any more."""

Calls = Mapping[str, SavedAgent]
"""What was measured of agents, by their ids."""


class ScoreFile:
    """What is known of agents, on disk.

    Its methods wait for the disk, and for a while for other processes that write the file.

    Args:
        folder: where it stands; made when it is first written.
        clock: the time; the calls fade by the wall clock while no process runs.
    """

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self._path = folder / FILE_NAME
        self._clock = SystemClock() if clock is None else clock
        self._is_told = False

    def load(self, scores: Scores) -> None:
        """Give scores what the file has; what is no file of scores is told of and left alone."""
        if (fault := self._load(scores)) is not None:
            self._tell(f"{self._path} {fault}")

    def add(self, calls: Calls) -> dict[str, Any] | None:
        """Add calls to those of the file.

        A file that is not ours, or cannot be read, is kept under another name.

        Returns:
            What the file has now, for `Scores.restore`; `None` if it cannot be written, which is
            told once.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with locked_folder(self._path.parent, LOCK_SECONDS):
                scores = Scores(clock=self._clock)
                if (fault := self._load(scores)) is not None:
                    self._keep_aside(fault)
                for agent_id, one in calls.items():
                    scores.add(agent_id, one)
                snapshot = _without_faded(scores.snapshot())
                replace_file(self._path, (json.dumps(snapshot) + "\n").encode())
        except OSError as error:
            self._tell(f"scores cannot be kept in {self._path}: {error.strerror or error}")
            return None
        self._is_told = False
        return snapshot

    def _load(self, scores: Scores) -> str | None:
        """Give scores what the file has; what is wrong with it, as a clause, if that is not so."""
        try:
            found = self._read()
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        is_ours = found is None or _restored(scores, found)
        return None if is_ours else "is no file of scores, so it is not read"

    def _read(self) -> bytes | None:
        """The content of the file; `None` if there is none.

        Raises:
            OSError: it cannot be read.
        """
        if self._path.exists() and not self._path.is_file():
            return b""  # a named pipe would keep us waiting for its writer
        try:
            with self._path.open("rb") as file:
                return file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None

    def _keep_aside(self, fault: str) -> None:
        aside = self._path.with_name(f"{FILE_NAME}.{self._clock.time():.0f}.damaged")
        self._path.rename(aside)
        log.warning("%s %s; it is kept as %s", self._path, fault, aside.name)

    def _tell(self, what: str) -> None:
        """Warn once, until the file was written."""
        if not self._is_told:
            log.warning("%s; the service goes on, and scores are not remembered", what)
        self._is_told = True


def _restored(scores: Scores, content: bytes) -> bool:
    """Whether the content of a file was a snapshot, which the scores have now."""
    if len(content) > MOST_BYTES:
        return False
    try:
        found = json.loads(content)
        scores.restore(found if isinstance(found, dict) else {})
    except (ValueError, RecursionError, RegistryError):
        return False
    return True


def _without_faded(snapshot: dict[str, Any]) -> dict[str, Any]:
    kept = {
        agent_id: one
        for agent_id, one in snapshot["agents"].items()
        if one["successes"] + one["failures"] >= LEAST_CALLS
    }
    return {**snapshot, "agents": kept}
