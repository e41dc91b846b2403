"""The topics of a segment as the broker has them now: gone, grown, or as they were.

All workers of a segment distribute keys over the same number of partitions of an output topic, or
the records of a key would be in two partitions. So a worker changes that number only when its group
assigns partitions: then every worker has given back its own and has written what it had. What came
to a topic since is a fault until then, and the member that leads the group has it rebalance.

Topics that are read by a pattern come and go: each member looks for them at every rebalance, and
asks for one when others match than those that it reads. One that is gone is no fault. The same is
true for the topics that dead letters are sent back to, which are looked for by their names.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence

from streamapp.errors import BrokerError, TopicError
from streamapp.observability.stage_metrics import StageMetrics, TopicFault
from streamapp.pipeline.source import matching
from streamapp.pipeline.topology import Segment
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.config import Environment
from streamapp.runtime.output_topic import OutputTopic

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""Longest wait for the broker during an assignment, in which the member sends no heartbeat."""


class SegmentTopics:
    """Compares the partitions that topics have with those that the group uses, and tells of both.

    An assignment covers the partitions that its group knew of. Partitions that came later are read
    by nobody until the group rebalances, so nobody measures their lag.

    Args:
        segment: what reads them.
        sources: number of partitions of each topic that the segment reads.
        targets: the topics that it writes to.
        assignment: the member of the group, and the counters of the segment, which get the faults
            of the sources; those of the targets go to the counters of their stages.
        environment: asks the broker; the clock says since when.
    """

    def __init__(
        self,
        segment: Segment,
        sources: Mapping[str, int],
        targets: Sequence[OutputTopic],
        assignment: Assignment,
        environment: Environment,
    ) -> None:
        self._segment = segment
        self._assigned = dict(sources)
        self._replays = tuple(name for name in sources if name in segment.replay_topics)
        named = (*segment.read_topics, *self._replays)
        self._matching = tuple(name for name in sources if name not in named)
        self._targets = targets
        self._assignment = assignment
        self._metrics = assignment.metrics
        self._seen = self._metrics.topic_partitions = dict(sources)
        self._admin = environment.admin
        self._clock = environment.clock
        self._silent_since: float | None = None
        self._told_new: set[str] = set()
        self.follows_patterns = bool(segment.patterns)
        self._follows_replays = bool(segment.replay_topics)
        self._patterns = " or ".join(one.pattern.name for one in segment.patterns)
        self._tell_what_is_waited_for()
        self._subscribed = frozenset(segment.read_topics)
        self._subscribe_to(tuple(sources))

    @property
    def sources(self) -> Collection[str]:
        """Topics that are sources of the segment now."""
        own = {*self._segment.retry_topics, *self._segment.replay_topics}
        return tuple(name for name in self._seen if name not in own)

    @property
    def replays(self) -> Collection[str]:
        """Topics with dead letters that were sent back, which the segment reads now."""
        return tuple(name for name in self._segment.replay_topics if name in self._seen)

    @property
    def names(self) -> Collection[str]:
        """Topics that the segment reads or writes, or would read if they existed."""
        replays = self._segment.replay_topics if self._follows_replays else ()
        targets = (target.name for target in self._targets)
        return {*self._seen, *self._matching, *replays, *targets}

    @property
    def _wanted(self) -> tuple[str, ...]:
        """Topics that the segment is to read."""
        return (*self._segment.read_topics, *self._replays, *self._matching)

    def stop_following(self) -> None:
        """Read no further topics than now: the segment ends when it has read these."""
        self.follows_patterns = self._follows_replays = False

    def note_existing(self, existing: Collection[str]) -> None:
        """Take note of which topics exist, of which some may match; `look` acts on it."""
        if not self.follows_patterns:
            return
        try:
            self._matching = matching(self._segment.patterns, existing)
        except TopicError as error:  # the group goes on with those that it reads
            self._set_fault(self._metrics, self._patterns, str(error))
            self._matching = tuple(name for name in self._matching if name in existing)
        else:
            self._set_fault(self._metrics, self._patterns, None)

    async def renew(self) -> None:
        """Look for the topics that match, to join the group with them: it has no partitions now.

        Without an answer, the segment joins with the topics that it knows of. Replay topics are
        not asked for: the last look is seconds ago.
        """
        if not self.follows_patterns:
            if self._follows_replays:
                self._subscribe()
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self.note_existing(await self._admin.list_topics())
        except (BrokerError, TimeoutError) as error:
            log.debug("topics could not be listed before a join: %r", error)
        self._subscribe()

    def _subscribe(self) -> None:
        wanted = self._wanted
        for name in self._seen.keys() - set(wanted):
            log.info("%s: no longer reads topic %s", self._segment.full_name, name)
            self._set_fault(self._metrics, name, None)
            self._metrics.received.pop(name, None)
        seen = {name: self._seen.get(name, 0) for name in wanted}
        self._seen = self._metrics.topic_partitions = seen
        self._assigned = {name: self._assigned.get(name, 0) for name in wanted}
        self._subscribe_to(wanted)
        self._tell_what_is_waited_for()

    def _subscribe_to(self, topics: Collection[str]) -> None:
        if self.follows_patterns or frozenset(topics) != self._subscribed:
            self._subscribed = frozenset(topics)
            self._assignment.consumer.subscribe(tuple(topics))

    def _tell_what_is_waited_for(self) -> None:
        self._metrics.waits_for = None if self.sources else f"a topic that matches {self._patterns}"

    async def look(self, partitions: Mapping[str, int]) -> None:
        """Take note of how many partitions the topics have, and have the group use them all.

        Args:
            partitions: number of partitions of each topic that exists.
        """
        if self._silent_since is not None and self._metrics.cut_off_since == self._silent_since:
            self._metrics.cut_off_since = None
        self._silent_since = None
        if self._note(partitions):
            self._subscribe_to(self._wanted)
            try:
                await self._assignment.consumer.request_rebalance()
            except BrokerError as error:
                log.debug("the group could not be asked to rebalance: %s", error)

    def note_silence(self) -> None:
        """Take note that the broker does not answer.

        Who has partitions learns that when it measures their lag; a spare worker learns it here.
        """
        metrics, revoked = self._metrics, self._assignment.is_revoked
        if not self._assignment.partitions and not revoked and metrics.cut_off_since is None:
            self._silent_since = metrics.cut_off_since = self._clock.monotonic()

    async def assigned(self) -> None:
        """Take note that the group has assigned all partitions that its topics have now.

        They are counted anew, because they may have grown since the last look. From now on keys are
        distributed over all partitions of the output topics. Nothing may be written meanwhile.
        """
        partitions: Mapping[str, int] | None = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                partitions = await self._admin.partition_counts(self.names)
        except (BrokerError, TimeoutError) as error:
            log.debug("topics could not be looked at during an assignment: %r", error)
        if partitions is not None:
            seen = {name: partitions.get(name, 0) for name in self._seen}
            self._seen = self._metrics.topic_partitions = seen
            for target in self._targets:
                _use_partitions(target, partitions.get(target.name, 0))
        self._assigned = dict(self._seen)
        if partitions is not None:
            self._note(partitions)

    def _note(self, partitions: Mapping[str, int]) -> bool:
        """Set the faults of all topics; whether a rebalance would mend one."""
        mendable = self._note_coming_and_going(partitions)
        for name in self._seen:
            self._seen[name] = count = partitions.get(name, 0)
            unread = count - self._assigned[name]
            if not count and name not in self._segment.read_topics:
                self._set_fault(self._metrics, name, None)  # it comes and goes
            elif not count:
                self._set_fault(self._metrics, name, _gone(name), hides_lag=True)
            elif unread > 0:
                what = f"{unread} new partitions of topic {name} are not assigned yet"
                self._set_fault(self._metrics, name, what, hides_lag=True)
                mendable = True
            else:
                self._set_fault(self._metrics, name, None)
        for target in self._targets:
            count, used = partitions.get(target.name, 0), target.partitioner.partitions
            if not count:
                self._set_fault(target.metrics, target.name, _gone(target.name))
            elif count != used:
                what = f"topic {target.name} has {count} partitions, and outputs go to {used}"
                self._set_fault(target.metrics, target.name, what)
                mendable = True
            else:
                self._set_fault(target.metrics, target.name, None)
        return mendable

    def _note_coming_and_going(self, partitions: Mapping[str, int]) -> bool:
        """Tell of topics that are to be read and are not yet; whether others are than are read."""
        if self._follows_replays:
            own = self._segment.replay_topics
            self._replays = tuple(name for name in own if partitions.get(name))
        if not self.follows_patterns and not self._follows_replays:
            return False
        gone = {name for name in self._matching if name in self._seen and not partitions.get(name)}
        self._matching = tuple(name for name in self._matching if name not in gone)
        coming = (*self._replays, *self._matching)
        new = [name for name in coming if name not in self._seen and partitions.get(name)]
        for name in self._told_new.difference(new) - self._seen.keys():
            self._set_fault(self._metrics, name, None)  # it went before it was read
        self._told_new = set(new)
        for name in new:
            why = "has come" if name in self._replays else "matches"
            what = f"topic {name} {why} and is not read yet"
            self._set_fault(self._metrics, name, what, hides_lag=True)
        gone |= self._seen.keys() - set(self._wanted)
        return bool(new or gone)

    def _set_fault(
        self, metrics: StageMetrics, name: str, reason: str | None, *, hides_lag: bool = False
    ) -> None:
        known = metrics.topic_faults.get(name)
        if reason is None:
            if metrics.topic_faults.pop(name, None) is not None:
                log.info("stage %s of %s: topic %s is well", metrics.stage, metrics.pipeline, name)
        elif known is None or known.reason != reason:
            log.warning("stage %s of %s: %s", metrics.stage, metrics.pipeline, reason)
            now = self._clock.monotonic()
            is_missing = reason == _gone(name)
            fault = TopicFault(reason, now, hides_lag=hides_lag, is_missing=is_missing)
            metrics.topic_faults[name] = fault


def _use_partitions(target: OutputTopic, count: int) -> None:
    used = target.partitioner.partitions
    if not count or count == used:
        return
    log.warning(
        "stage %s of %s: from now on its workers write to %d partitions of topic %s instead of %d;"
        " keys go to other partitions than their earlier records",
        target.metrics.stage,
        target.metrics.pipeline,
        count,
        target.name,
        used,
    )
    target.use_partitions(count)


def _gone(name: str) -> str:
    return f"topic {name} does not exist"
