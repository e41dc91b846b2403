"""What a pipeline promises, and what it does not, as far as its declaration says.

docs/explanation/delivery.md explains each of these, and what holds for every pipeline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamapp.pipeline.agent import walk
from streamapp.pipeline.stage import KeyBacklog, Ordering
from streamapp.pipeline.topology import Segment, Step, Topology
from streamapp.policies.policy import ErrorPolicy, Policy


@dataclass(frozen=True, slots=True)
class Statement:
    """Something that is promised, or is not.

    Attributes:
        rule: its name, which stays the same when the text is improved.
        text: one sentence.
        stages: names of the stages that it is about.
    """

    rule: str
    text: str
    stages: tuple[str, ...]


def promised(topology: Topology) -> tuple[Statement, ...]:
    """What a pipeline promises."""
    return _statements(topology, _PROMISED)


def not_promised(topology: Topology) -> tuple[Statement, ...]:
    """What a pipeline does not promise, although one might think so."""
    return _statements(topology, _NOT_PROMISED)


def may_hold(step: Step) -> bool:
    """Whether a step holds its records while what it depends on is down."""
    config = step.stage.config
    policy = config.policy
    lets_go = policy.last_action is not ErrorPolicy.DEAD_LETTER and not policy.all_delays_seconds
    return config.breaker is not None and not lets_go


def may_dead_letter(segment: Segment, step: Step) -> bool:
    """Whether any failure makes a dead letter."""
    policy = step.stage.config.policy
    gives_way = segment.steps[0].stage.config.on_key_backlog is KeyBacklog.DEAD_LETTER
    # A record that cannot be decoded cannot be passed on either.
    is_for_good = policy.uses(ErrorPolicy.DEAD_LETTER) or policy.uses(ErrorPolicy.SKIP)
    return is_for_good or (gives_way and _retries(step))


def _statements(topology: Topology, rules: "Sequence[_Rule]") -> tuple[Statement, ...]:
    steps = [(segment, step) for segment in topology.segments for step in segment.steps]
    found = []
    for rule in rules:
        stages = tuple(
            step.stage.stage_id for segment, step in steps if rule.is_true(segment, step)
        )
        if stages:
            found.append(Statement(rule.name, rule.text, stages))
    return tuple(found)


def _always(_segment: Segment, _step: Step) -> bool:
    return True


def _ordering(segment: Segment) -> Ordering:
    return segment.steps[0].stage.config.ordering


def _is_ordered(segment: Segment, _step: Step) -> bool:
    return _ordering(segment) is not Ordering.UNORDERED


def _is_by_key(segment: Segment, _step: Step) -> bool:
    return _ordering(segment) is Ordering.KEY


def _reads_several(segment: Segment, step: Step) -> bool:
    several = len(segment.sources) > 1 or bool(segment.patterns)
    return _is_ordered(segment, step) and several


def _reads_by_pattern(segment: Segment, step: Step) -> bool:
    return bool(segment.patterns) and step is segment.steps[0]


def _retries(step: Step) -> bool:
    policy = step.stage.config.policy
    return any(one.retries for one in (policy, *_by_exception(policy)))


def _by_exception(policy: Policy) -> tuple[Policy, ...]:
    return tuple(one for _, one in policy.by_exception)


def _waits_for_retries(segment: Segment, step: Step) -> bool:
    return _is_by_key(segment, step) and _retries(step)


def _retries_later(_segment: Segment, step: Step) -> bool:
    return bool(step.retry_topics)


def _keeps_order(segment: Segment) -> bool:
    """Whether no record of a segment leaves its place to be retried later."""
    return not segment.retry_topics


def _others_go_on(segment: Segment, step: Step) -> bool:
    first = segment.steps[0].stage.config
    has_room = first.max_in_flight_records > 1
    gives_way = first.on_key_backlog is not KeyBacklog.WAIT
    return _waits_for_retries(segment, step) and has_room and gives_way


def _may_change_keys(segment: Segment, step: Step) -> bool:
    wraps = any(added.is_around for added in step.middleware)  # and may give what it wants
    return _is_ordered(segment, step) and (step.stage.agent.results.out or wraps)


def _goes_on_without(segment: Segment, step: Step) -> bool:
    gives_up = may_dead_letter(segment, step) or step.stage.config.policy.uses(ErrorPolicy.DROP)
    return _is_ordered(segment, step) and gives_up


def _cannot_be_interrupted(_segment: Segment, step: Step) -> bool:
    leaves = [agent for agent in walk(step.stage.agent) if not agent.parts]
    return any(agent.blocking or not agent.is_async for agent in leaves)


def _has_no_budget(segment: Segment, step: Step) -> bool:
    return may_dead_letter(segment, step) and step.stage.config.dead_letter_budget is None


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    text: str
    is_true: Callable[[Segment, Step], bool]


_PROMISED = (
    _Rule(
        "at_least_once",
        "At least once: an offset is committed only when every output, or the dead letter, of every"
        " record before it is acknowledged.",
        _always,
    ),
    _Rule(
        "order_by_key",
        "Order by key: records of one key in one partition are worked on one at a time, and their"
        " outputs are written in the same order, retries included.",
        lambda segment, step: _is_by_key(segment, step) and _keeps_order(segment),
    ),
    _Rule(
        "order_by_partition",
        "Order by partition: records of one partition are worked on one at a time, and their"
        " outputs are written in the same order, retries included.",
        lambda segment, _: _ordering(segment) is Ordering.PARTITION and _keeps_order(segment),
    ),
    _Rule(
        "other_keys_go_on",
        "Other keys go on while records of a key wait for a retry.",
        _others_go_on,
    ),
    _Rule(
        "retried_later",
        "A later retry of what fails: it waits in a retry topic, over restarts too, and never comes"
        " back early; its dead letter tells where it was read first.",
        _retries_later,
    ),
    _Rule(
        "new_topics_are_read",
        "Topics that match a pattern are read from their beginning within a minute after they are"
        " made, and let go when they are deleted.",
        _reads_by_pattern,
    ),
    _Rule(
        "outages_are_held",
        "Nothing is dead-lettered because what an agent depends on is down: records are held, for"
        " max_hold_seconds at most if that is set.",
        lambda _, step: may_hold(step),
    ),
    _Rule(
        "bounded_memory",
        "Bounded memory: no more is in flight than the settings say, whatever the lag.",
        _always,
    ),
)

_NOT_PROMISED = (
    _Rule(
        "exactly_once",
        "Exactly once: after a kill or a failed batch, records are worked on again, and their"
        " outputs and the calls of their agents are repeated.",
        _always,
    ),
    _Rule(
        "single_attempt",
        "A single attempt: one that failed or timed out may have done its work, and the next does"
        " it again.",
        lambda _, step: (
            _retries(step) or bool(step.retry_topics) or step.stage.agent.batching is not None
        ),
    ),
    _Rule(
        "tables_change_once",
        "That tables of Faust change once: what a failed attempt has changed in them, or sent by"
        " Faust, stays, and the next attempt does it again.",
        lambda segment, _: segment.reader is not None,
    ),
    _Rule(
        "order",
        "Order: records are worked on side by side, whatever their keys.",
        lambda segment, _: _ordering(segment) is Ordering.UNORDERED,
    ),
    _Rule(
        "order_after_retry_later",
        "Order of what is retried later: later records of its key or partition are worked on while"
        " it waits, and their outputs stand before its own.",
        lambda segment, step: _is_ordered(segment, step) and not _keeps_order(segment),
    ),
    _Rule("order_without_key", "Order of records without a key.", _is_by_key),
    _Rule(
        "order_between_topics",
        "Order between topics: records of one key in two of them are worked on side by side.",
        _reads_several,
    ),
    _Rule(
        "own_topics_by_pattern",
        "That a pattern stands for every name: topics of the pipeline, and dead letters, replay and"
        " retry topics under their default names, never match.",
        _reads_by_pattern,
    ),
    _Rule(
        "order_after_new_key",
        "Order after a change of key: outputs of inputs with different keys that get the same key"
        " have none.",
        _may_change_keys,
    ),
    _Rule(
        "order_after_failure",
        "A wait for what failed for good: later records of the same key are worked on without it.",
        _goes_on_without,
    ),
    _Rule(
        "order_when_read_again",
        "Order when records are read again: an output may be written a second time, behind that of"
        " a later record.",
        _is_ordered,
    ),
    _Rule(
        "order_when_partitions_are_added",
        "Order when partitions are added: keys then go to other partitions than before.",
        _is_by_key,
    ),
    _Rule(
        "other_keys_go_on",
        "That other keys go on while some fail: records behind failing ones may fill what may be in"
        " flight.",
        lambda segment, step: (
            _waits_for_retries(segment, step) and not _others_go_on(segment, step)
        ),
    ),
    _Rule(
        "interruption",
        "An interruption after timeout_seconds: neither a plain function nor a thread can be"
        " interrupted.",
        _cannot_be_interrupted,
    ),
    _Rule(
        "outages_are_held",
        "A wait while what an agent depends on is down: the policy decides about each record that"
        " fails meanwhile.",
        lambda _, step: not may_hold(step),
    ),
    _Rule(
        "outages_are_held_in_bounded_work",
        "A hold of every record with --until-end: one that fails alone while what an agent depends"
        " on is down may become a dead letter.",
        lambda _, step: may_hold(step),
    ),
    _Rule(
        "outages_are_held_by_exception",
        "A hold for exceptions that have a policy of their own.",
        lambda _, step: (
            may_hold(step)
            and any(not one.delays_seconds for _, one in step.stage.config.by_exception)
        ),
    ),
    _Rule(
        "bounded_dead_letters",
        "A limit for dead letters: the stage has no budget of them.",
        _has_no_budget,
    ),
)
