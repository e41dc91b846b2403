"""What an outline says of each shape that a pipeline can have."""

from typing import Any, Literal

import pytest

from streamapp import (
    AfterHold,
    Agent,
    Backoff,
    BreakerConfig,
    InMemoryCollector,
    KeyBacklog,
    Ordering,
    Out,
    Pipeline,
    Policy,
    Topic,
    agent,
    branch,
    chain,
    choose,
    dead_letter,
    drop,
    fallback,
    parallel,
    pool,
    retry,
    retry_later,
    skip,
    stop,
    when,
)
from streamapp.middleware import TimeStages
from streamapp.pipeline.outline import AgentOutline, Calls, Outline, TopicRole, outline_of
from streamapp.pipeline.topology import build
from streamapp.topics.topic_pattern import TopicPattern
from tests.unit.pipeline.parts import Item, text, twice

SOURCE = Topic("in", Item)


@agent
async def same(item: Item) -> Item:
    """Give it back."""
    return item


@agent
def keyed(item: Item) -> Out[Item]:
    return Out(item, key="k")


@agent(blocking=True)
def slow(item: Item) -> Item:
    return item


@agent
def other(item: Item) -> Item:
    return item


@agent
def end(item: Item) -> None:
    """Give nothing."""


def outline(pipeline: Pipeline[Any, Any]) -> Outline:
    return outline_of(build(pipeline))


def one_stage(**settings: Any) -> Outline:
    return outline(Pipeline("p", source=SOURCE).stage(same, **settings).sink("out"))


def rules(outline: Outline) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Names of what is promised and of what is not, with the stages of each."""
    both = outline.promised, outline.not_promised
    yes, no = ({one.rule: one.stages for one in statements} for statements in both)
    return yes, no


def tree(agent: AgentOutline) -> tuple[str, str, tuple[Any, ...]]:
    return agent.kind, agent.name, tuple(tree(part) for part in agent.parts)


def test_stages_between_topics_have_a_group_each() -> None:
    found = outline(Pipeline("p", source=SOURCE).stage(same).stage(end, name="last"))
    assert [segment.group for segment in found.segments] == ["p.same", "p.last"]
    assert [segment.sources for segment in found.segments] == [("in",), ("p.same",)]
    assert [segment.stages[0].output for segment in found.segments] == ["p.same", None]
    assert [(topic.name, topic.roles, topic.type) for topic in found.topics] == [
        ("in", (TopicRole.SOURCE,), "Item"),
        ("p.same", (TopicRole.BETWEEN,), "Item"),
        ("p.same.dlq", (TopicRole.DEAD_LETTERS,), None),
        ("p.last.dlq", (TopicRole.DEAD_LETTERS,), None),
    ]
    assert (found.topics[1].written_by, found.topics[1].read_by) == (("same",), ("last",))


def test_a_fused_stage_is_in_the_segment_of_the_one_before_it() -> None:
    pipeline = Pipeline("p", source=SOURCE).stage(same).stage(twice, fused=True).sink("out")
    [segment] = outline(pipeline).segments
    assert [stage.stage for stage in segment.stages] == ["same", "twice"]
    assert [stage.output for stage in segment.stages] == [None, "out"]


def test_routes_and_a_topic_with_two_roles() -> None:
    routes = {"again": Topic("out", Item), "odd": Topic("odd", Item)}
    found = one_stage(routes=routes, dead_letters="odd")
    assert found.segments[0].stages[0].routes == {"again": "out", "odd": "odd"}
    roles = {topic.name: topic.roles for topic in found.topics}
    assert roles["out"] == (TopicRole.SINK, TopicRole.ROUTE)
    assert roles["odd"] == (TopicRole.ROUTE, TopicRole.DEAD_LETTERS)


def test_a_former_name_is_said() -> None:
    assert one_stage(renamed_from="old").segments[0].stages[0].renamed_from == "old"


def test_nested_combinators_are_a_tree_of_any_kinds() -> None:
    def join(_: Item, left: str, right: int) -> Item:
        return Item(n=right, tags=[left])

    joined = parallel(branch(text, default="?", name="told"), twice).join(join)
    nested = choose(
        when(lambda item: item.n > 1, chain(joined, same, name="then")),
        otherwise=fallback(pool(same, slow, capacity=1, name="shared"), other, name="else"),
        name="which",
    )
    [segment] = outline(Pipeline("p", source=SOURCE).stage(nested).sink("out")).segments
    leaf = ("agent", "same", ())
    joined_tree = (
        "parallel",
        "join",
        (("branch", "told", (("agent", "text", ()),)), ("agent", "twice", ())),
    )
    shared = ("pool", "shared", (leaf, ("agent", "slow", ())))
    assert tree(segment.stages[0].agent) == (
        "choose",
        "which",
        (
            ("chain", "then", (joined_tree, leaf)),
            ("fallback", "else", (shared, ("agent", "other", ()))),
        ),
    )


def test_types_are_named_without_their_modules() -> None:
    class Local(Item):
        pass

    @agent
    def many(item: Item) -> list[dict[str, Local] | Item]:
        return [item]

    @agent
    def version(item: Item) -> Literal["v1.x", "b"]:
        return "b" if item.n else "v1.x"

    def type_of(made: Agent[Any, Any]) -> str:
        pipeline = Pipeline("p", source=SOURCE).stage(made).sink("out")
        return outline(pipeline).segments[0].stages[0].agent.gives

    assert type_of(many) == "dict[str, Local] | Item"
    assert type_of(version) == "Literal['v1.x', 'b']"
    last = outline(Pipeline("p", source=SOURCE).stage(end)).segments[0].stages[0]
    assert last.agent.gives == "None"


@pytest.mark.parametrize(
    ("made", "calls", "at_once"),
    [(twice, Calls.PLAIN, 1), (text, Calls.ASYNC, 7), (slow, Calls.BLOCKING, 7)],
)
def test_only_agents_that_wait_run_side_by_side(made: Any, calls: Calls, at_once: int) -> None:
    pipeline = Pipeline("p", source=SOURCE).stage(made, concurrency=7).sink("out")
    [segment] = outline(pipeline).segments
    assert segment.stages[0].agent.calls is calls
    assert segment.attempts_at_once == at_once
    [segment] = outline(pipeline.use(TimeStages())).segments
    assert segment.attempts_at_once == 7


def test_middleware_collectors_and_audit_are_named() -> None:
    pipeline = Pipeline("p", source=SOURCE, audit="all").stage(same).sink("out")
    found = outline(pipeline.use(TimeStages()).collect(InMemoryCollector()))
    assert (found.middleware, found.collectors) == (("TimeStages",), ("InMemoryCollector",))
    assert found.audit == "all"


def test_a_policy_has_its_waits_and_those_of_single_exceptions() -> None:
    waits = Backoff(base_seconds=2)
    policy = retry(5, then=drop(), backoff=waits).on({KeyError: stop()})
    [segment] = one_stage(on_error=policy).segments
    found = segment.stages[0].policy
    assert (found.action, found.retries, found.backoff, found.then) == ("retry", 5, waits, "drop")
    [other] = found.by_exception
    assert (other.exception, other.policy.action) == ("KeyError", "stop")
    assert (other.policy.backoff, other.policy.then) == (None, None)


@pytest.mark.parametrize(
    ("policy", "settings", "dead_letters", "holds"),
    [
        (dead_letter(), {}, True, True),
        (retry(2), {}, True, True),
        (retry(2), {"breaker": None}, True, False),
        (retry_later([10]), {}, True, True),
        (retry_later([10], then=drop()), {}, False, True),
        (stop().on({KeyError: retry_later([10], then=drop())}), {}, False, True),
        (skip(), {}, True, False),
        (drop(), {}, False, False),
        (stop(), {}, False, False),
        (stop().on({KeyError: dead_letter()}), {}, True, False),
        (retry(2, then=stop()), {}, True, False),
        (retry(2, then=stop()), {"on_key_backlog": KeyBacklog.STOP}, False, False),
    ],
)
def test_which_stages_hold_and_which_dead_letter(
    policy: Policy, settings: dict[str, Any], dead_letters: bool, holds: bool
) -> None:
    found = one_stage(on_error=policy, **settings)
    stage = found.segments[0].stages[0]
    assert stage.may_dead_letter is dead_letters
    assert (stage.hold is not None) is holds
    yes, no = rules(found)
    assert ("outages_are_held" in yes) is holds
    assert ("outages_are_held" in no) is not holds
    assert ("outages_are_held_in_bounded_work" in no) is holds


def test_a_hold_has_its_breaker_and_its_end() -> None:
    breaker = BreakerConfig(consecutive_failures=9)
    settings = {"breaker": breaker, "max_hold_seconds": 60, "after_hold": "stop"}
    hold = one_stage(**settings).segments[0].stages[0].hold
    assert hold is not None
    assert (hold.breaker, hold.max_hold_seconds) == (breaker, 60)
    assert hold.after_hold is AfterHold.STOP


@pytest.mark.parametrize(
    ("ordering", "yes_has", "no_has"),
    [
        (Ordering.KEY, {"order_by_key"}, {"order_without_key", "order_when_partitions_are_added"}),
        (Ordering.PARTITION, {"order_by_partition"}, set()),
        (Ordering.UNORDERED, set(), {"order"}),
    ],
)
def test_each_order_promises_itself_only(
    ordering: Ordering, yes_has: set[str], no_has: set[str]
) -> None:
    orders = {"order_by_key", "order_by_partition"}
    limits = {"order", "order_without_key", "order_when_partitions_are_added"}
    yes, no = rules(one_stage(ordering=ordering))
    assert (orders & set(yes), limits & set(no)) == (yes_has, no_has)
    assert ("order_when_read_again" in no) is (ordering is not Ordering.UNORDERED)
    assert ("order_after_failure" in no) is (ordering is not Ordering.UNORDERED)


def test_topics_of_a_stage_have_no_order_between_them() -> None:
    several = Pipeline("p", source=(SOURCE, Topic("more", SOURCE.schema)))
    found = outline(several.stage(same).stage(same, name="next").sink("out"))
    assert found.segments[0].sources == (SOURCE.name, "more")
    assert rules(found)[1]["order_between_topics"] == ("same",)
    alone = Pipeline("p", source=SOURCE).stage(same).sink("out")
    assert "order_between_topics" not in rules(outline(alone))[1]
    unordered = several.stage(same, ordering="unordered").sink("out")
    assert "order_between_topics" not in rules(outline(unordered))[1]


def test_a_pattern_is_shown_with_what_it_promises() -> None:
    pattern = TopicPattern(r"raw\..*", SOURCE.schema)
    found = outline(Pipeline("p", source=pattern).stage(same).stage(same, name="next").sink("out"))
    assert found.segments[0].sources == (r"raw\..*",)
    [first, *others] = found.topics
    assert (first.name, first.roles) == (pattern.name, (TopicRole.PATTERN,))
    assert first.read_by == ("same",)
    assert pattern.name not in [topic.name for topic in others]
    yes, no = rules(found)
    assert yes["new_topics_are_read"] == no["own_topics_by_pattern"] == ("same",)
    assert no["order_between_topics"] == ("same",)


def test_new_keys_end_the_order_of_the_stages_that_may_give_them() -> None:
    pipeline = Pipeline("p", source=SOURCE).stage(same).stage(keyed).sink("out")
    assert rules(outline(pipeline))[1]["order_after_new_key"] == ("keyed",)
    # Middleware that wraps the call may give an `Out` too.
    wrapped = rules(outline(pipeline.use(TimeStages())))[1]
    assert wrapped["order_after_new_key"] == ("same", "keyed")
    unordered = Pipeline("p", source=SOURCE).stage(keyed, ordering="unordered").sink("out")
    assert "order_after_new_key" not in rules(outline(unordered))[1]


@pytest.mark.parametrize(
    ("settings", "go_on", "may_wait"),
    [
        ({}, True, False),
        ({"on_key_backlog": "wait"}, False, True),
        ({"max_in_flight_records": 1}, False, True),
        ({"on_error": dead_letter()}, False, False),
        ({"ordering": "unordered"}, False, False),
    ],
)
def test_other_keys_go_on_unless_nothing_gives_way(
    settings: dict[str, Any], go_on: bool, may_wait: bool
) -> None:
    yes, no = rules(one_stage(**settings))
    assert ("other_keys_go_on" in yes, "other_keys_go_on" in no) == (go_on, may_wait)


def test_what_is_not_promised_depends_on_retries_threads_and_budgets() -> None:
    plain = (
        Pipeline("p", source=SOURCE)
        .stage(same, on_error=dead_letter())
        .stage(slow, on_error=retry(1).on({KeyError: drop()}), dead_letter_budget=None)
        .stage(fallback(other, same, name="both"), on_error=stop())
        .sink("out")
    )
    _, no = rules(outline(plain))
    assert no["exactly_once"] == ("same", "slow", "both")
    assert no["single_attempt"] == ("slow",)
    assert no["interruption"] == ("slow", "both")
    assert no["bounded_dead_letters"] == ("slow",)
    assert no["outages_are_held_by_exception"] == ("slow",)
    assert no["outages_are_held"] == ("both",)
    assert no["order_after_failure"] == ("same", "slow")


def test_later_retries_have_topics_and_end_the_order() -> None:
    policy = retry(1, then=retry_later([10, 60])).on({KeyError: retry_later([5])})
    found = one_stage(on_error=policy)
    stage = found.segments[0].stages[0]
    names = {"p.same.retry-5s": 5.0, "p.same.retry-10s": 10.0, "p.same.retry-1m": 60.0}
    assert stage.retry_topics == names
    assert (stage.policy.delays_seconds, stage.policy.then) == ((10.0, 60.0), "dead_letter")
    assert stage.policy.by_exception[0].policy.delays_seconds == (5.0,)
    topics = {topic.name: topic for topic in found.topics}
    for name in names:
        assert (topics[name].roles, topics[name].type) == (("retries",), None)
        assert (topics[name].written_by, topics[name].read_by) == (("same",), ("same",))
    yes, no = rules(found)
    assert "order_by_key" not in yes
    assert yes["retried_later"] == no["order_after_retry_later"] == ("same",)
    assert "single_attempt" in no
    for ordering in ("partition", "unordered"):
        yes, no = rules(one_stage(on_error=policy, ordering=ordering))
        assert "order_by_partition" not in yes
        assert ("order_after_retry_later" in no) is (ordering == "partition")


def test_a_fused_stage_that_retries_later_ends_the_order_of_all() -> None:
    pipeline = (
        Pipeline("p", source=SOURCE)
        .stage(same)
        .stage(other, name="tail", on_error=retry_later([10]), fused=True)
        .sink("out")
    )
    yes, no = rules(outline(pipeline))
    assert "order_by_key" not in yes
    assert no["order_after_retry_later"] == ("same", "tail")
    assert yes["retried_later"] == ("tail",)
