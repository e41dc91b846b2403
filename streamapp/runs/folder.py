"""The folder with the records of runs: one file each, few and small, old ones removed."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from streamapp.atomic_file import replace_file
from streamapp.runs.record import RunRecord

FOLDER_NAME = "runs"
"""Name of the folder in the state folder."""

MOST_RUNS = 1_000
"""Of more runs, the oldest are removed, whatever their age."""

MOST_BYTES = 4 * 1024 * 1024
"""A larger file was not written by us: of 52,000 stages, the first are kept."""

MOST_STAGES = 2_000
"""Of so many stages a record has figures."""

_DAY_SECONDS = 86_400.0
_FILE = re.compile(r"\d{13}-[0-9a-f]{12}\.json")


class RunFolder:
    """Records of runs on disk. Its methods wait for the disk.

    Args:
        state_folder: where state is kept; made when a record is first written.
    """

    def __init__(self, state_folder: Path) -> None:
        self.path = state_folder / FOLDER_NAME

    def write(self, record: RunRecord) -> None:
        """Put a record in the place of the earlier one of the same run.

        Raises:
            OSError: it cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        stages = record.stages[:MOST_STAGES]
        content = record.model_copy(update={"stages": stages}).model_dump_json().encode()
        name = f"{round(record.started_at * 1000):013}-{record.run_id}.json"
        replace_file(self.path / name, content + b"\n")

    def read(self) -> Iterator[RunRecord]:
        """The records, the latest run first; files that are none are passed over."""
        for path in reversed(self._files()):
            with suppress(OSError, ValidationError):
                with path.open("rb") as file:
                    content = file.read(MOST_BYTES + 1)
                if len(content) <= MOST_BYTES:
                    yield RunRecord.model_validate_json(content)

    def remove_old(self, now: float, days: float) -> None:
        """Remove what was last written longer ago, and the oldest of too many.

        Raises:
            OSError: a file cannot be removed.
        """
        files = self._files()
        for place, path in enumerate(files):
            with suppress(FileNotFoundError):  # another process has removed it
                is_old = now - path.stat().st_mtime > days * _DAY_SECONDS
                if is_old or place < len(files) - MOST_RUNS:
                    path.unlink()

    def _files(self) -> list[Path]:
        """Files of ours, the oldest run first."""
        try:
            return sorted(one for one in self.path.iterdir() if _FILE.fullmatch(one.name))
        except OSError:
            return []
