"""The pipeline of a scenario, declared and built as a user's is."""

from streamapp.errors import DecodeError
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.pipeline import Pipeline, StageSettings
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import ErrorPolicy, Policy, dead_letter, retry, retry_later
from tests.simulation.shapes import Shapes
from tests.simulation.stage_draw import NO_BACKLOG, StageDraw
from tests.simulation.workload import SINK, Agents

BUNDLE = "bundle"


def topology_of(agents: Agents, *, may_stop_on_loss: bool) -> Topology:
    """The pipeline of a scenario, built as a user's is."""
    shapes = Shapes(agents)
    pipeline: Pipeline[str, str] = Pipeline(
        "sim", source=agents.scenario.sources.declared(), audit=agents.scenario.audit
    )
    for i, draw in enumerate(agents.scenario.stages):
        pipeline = pipeline.stage(
            shapes.agent_of(i),
            name=f"s{i}",
            on_error=_policy(draw),
            fused=draw.fused,
            **_settings(draw, may_stop_on_loss=may_stop_on_loss),
        )
    pipeline = pipeline.sink(SINK)
    if not agents.scenario.is_bundled:
        return build(pipeline)
    [topology] = build_bundle(Bundle(BUNDLE, [pipeline]))
    return topology


def _policy(draw: StageDraw) -> Policy:
    retries = draw.retries if draw.action is ErrorPolicy.RETRY else 0
    longest = draw.backoff_seconds
    backoff = Backoff(base_seconds=min(longest, 0.05 * longest**2), max_seconds=longest)
    policy = Policy(draw.action, retries, backoff, draw.then)
    if draw.delays:
        later = retry_later(draw.delays, then=draw.then)
        policy = retry(retries, then=later, backoff=backoff) if retries else later
    if draw.last_word is ErrorPolicy.STOP:
        # Otherwise the stage would stop at such a record again and again.
        policy = policy.on({DecodeError: dead_letter()})
    return policy


def _on_backlog(draw: StageDraw) -> str:
    if draw.max_key_backlog_records == NO_BACKLOG:
        return "wait"
    return "stop" if draw.stops_on_backlog else "dead_letter"


def _hold_settings(draw: StageDraw) -> StageSettings:
    """What was drawn, as far as it has an effect; the rest would be refused."""
    hold = draw.hold
    settings: StageSettings = {"dead_letter_budget": hold.budget}
    if hold.breaker is None:
        return {"breaker": None, **settings}
    if draw.last_word not in (ErrorPolicy.DEAD_LETTER, ErrorPolicy.STOP) and not draw.delays:
        return settings
    settings["breaker"] = hold.breaker
    if hold.max_hold_seconds is not None:
        settings["max_hold_seconds"] = hold.max_hold_seconds
        settings["after_hold"] = "stop" if hold.stops_after_hold else "dead_letter"
    return settings


def _settings(draw: StageDraw, *, may_stop_on_loss: bool) -> StageSettings:
    if draw.fused:  # it has the others from the stage that it is fused to
        return {"timeout_seconds": draw.timeout_seconds, **_hold_settings(draw)}
    return {
        **_hold_settings(draw),
        "timeout_seconds": draw.timeout_seconds,
        "concurrency": draw.concurrency,
        "ordering": draw.ordering,
        "max_in_flight_records": draw.max_in_flight_records,
        "max_in_flight_bytes": draw.max_in_flight_bytes,
        "max_key_backlog_records": draw.max_key_backlog_records,
        "on_key_backlog": _on_backlog(draw),
        "on_lost_position": "stop" if draw.stops_on_loss and may_stop_on_loss else "earliest",
    }
