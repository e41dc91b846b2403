"""What a stage adds to the audit trail of the data that it works on.

The runtime and the execution in process use the same rules, so a trail says the same of both.
"""

from enum import StrEnum

from streamapp.errors import EncodeError
from streamapp.pipeline.context import Place, received_trail
from streamapp.pipeline.trail import StageEntry, Trail, error_entry, header_in, utc
from streamapp.record import Headers
from streamapp.version import VERSION


class Audit(StrEnum):
    """What the stages of a pipeline add to the audit trail; a dead letter always has it."""

    OFF = "off"  # nothing; metadata of the user's travel all the same
    ERRORS = "errors"  # failed attempts, and the stages that had some
    ALL = "all"  # every stage


class StageAudit:
    """The audit of one stage.

    Args:
        audit: what it adds.
        place: names the stage; its clock says when something was.
        agent: name of the agent.

    Attributes:
        is_total: whether it adds an entry for everything that it is given.
    """

    def __init__(self, audit: Audit, place: Place, agent: str) -> None:
        self.is_total = audit is Audit.ALL
        self._keeps_errors = audit is not Audit.OFF
        self._place = place
        self._agent = agent

    def kept_before(self, headers: Headers) -> Trail | None:
        """What was kept of failed attempts before the data waited in a retry topic."""
        if not self._keeps_errors or header_in(headers) is None:
            return None
        return received_trail(headers, self._place)

    def header_of_retry(self, trail: Trail | None) -> bytes | None:
        """The header of data that is to wait in a retry topic; `None` if it stays as it is."""
        try:
            return None if trail is None else trail.to_header()
        except EncodeError:  # what came in was not written by us, and is as large as it may be
            return None

    def add_failure(self, trail: Trail | None, headers: Headers, error: Exception) -> Trail | None:
        """The trail that is kept after a failed attempt; `None` if nothing is kept.

        Args:
            trail: what was kept of it after earlier attempts.
            headers: headers of what the stage was given.
            error: why the attempt failed.
        """
        if not self._keeps_errors:
            return trail
        trail = trail or received_trail(headers, self._place)
        trail.add_error(error_entry(error, self._place.stage_id, self._place.now()))
        return trail

    def header_of_output(
        self,
        trail: Trail | None,
        headers: Headers,
        entry: StageEntry,
        failures: int,
        origin: str = "",
    ) -> bytes | None:
        """The header of what leaves the stage; `None` if that of its input needs no change.

        Args:
            trail: that of the attempt which succeeded, or what was kept; `None` without.
            headers: headers of what the stage was given.
            entry: what the stage did.
            failures: how many attempts failed before.
            origin: the record of which it is made, as `topic:partition:offset`.

        Raises:
            EncodeError: the metadata are no JSON, or too large.
        """
        adds_entry = self.is_total or (failures > 0 and self._keeps_errors)
        if trail is None and not adds_entry:
            return None
        trail = trail or received_trail(headers, self._place)
        trail.origin = origin
        if adds_entry:
            trail.add_stage(entry)
        return trail.to_header()

    def header_of_letter(
        self, trail: Trail | None, headers: Headers, entry: StageEntry, error: Exception
    ) -> bytes | None:
        """The header of a dead letter; it has the history whatever `audit` says.

        Args:
            trail: what was kept after failed attempts; `None` without.
            headers: headers of what the stage was given.
            entry: what the stage did.
            error: why it failed for good.
        """
        if trail is None:
            trail = received_trail(headers, self._place)
            trail.add_error(error_entry(error, self._place.stage_id, self._place.now()))
        trail.add_stage(entry)
        try:
            return trail.to_header()
        except EncodeError:  # what came in was not written by us, and is as large as it may be
            return None

    def entry(
        self, outcome: str, start: float, duration_seconds: float, attempts: int
    ) -> StageEntry:
        """What the stage did.

        Args:
            outcome: how it ended: an `Outcome`, or `failed` where the policy said stop.
            start: when the first attempt began, in seconds since the epoch.
            duration_seconds: from then to now.
            attempts: number of attempts.
        """
        names = self._place.stage_id, self._agent, VERSION
        return StageEntry(*names, utc(start), duration_seconds, attempts, outcome)
