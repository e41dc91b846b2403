"""The playback pipeline: validate, enrich, score, and send poor quality to an alert topic."""

from streamapp.examples.playback import agents
from streamapp.examples.playback.catalog import TitleCatalog
from streamapp.examples.playback.models import (
    EnrichedPlayback,
    Playback,
    RawPlayback,
    ScoredPlayback,
)
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import dead_letter, retry
from streamapp.topics.topic import Topic

SOURCE = Topic("playback.raw", RawPlayback)
SCORED = Topic("playback.scored", ScoredPlayback)
ALERTS = Topic("playback.alerts", ScoredPlayback)

ASKS_CATALOG = "enrich"
"""Name of the stage that holds its records while the catalogue is down."""

validate = agent(capabilities=[Capability.DATA_VALIDATION])(agents.validate)
find_region = agent(capabilities=[Capability.DATA_ENRICHMENT])(agents.find_region)
route = agent(capabilities=[Capability.STREAM_PROCESSING])(agents.route)

_TRANSFORMS = [Capability.DATA_TRANSFORMATION]
score = pool(
    agent(name="first-scorer", capabilities=_TRANSFORMS)(agents.score),
    agent(name="second-scorer", capabilities=_TRANSFORMS)(agents.score),
    capacity=8,
    name="score",
)
"""Two that do the same work, as two instances of a scoring service would: the less busy one gets
the next event, and one that fails is left out until it works again."""


def enrich_from(catalog: TitleCatalog) -> Agent[Playback, EnrichedPlayback]:
    """The agent that looks title and region up at the same time, the titles in this catalogue."""
    find_title = agent(name="find-title", capabilities=[Capability.DATA_ENRICHMENT])(
        agents.FindTitle(catalog)
    )
    return parallel(find_title, find_region).join(agents.enrich, name=ASKS_CATALOG)


enrich = enrich_from(TitleCatalog())


def build_pipeline(
    *, fused: bool, enrich: Agent[Playback, EnrichedPlayback] = enrich
) -> Pipeline[RawPlayback, ScoredPlayback]:
    """The pipeline of four stages.

    Args:
        fused: fuse the last two.
        enrich: the agent of the second; by default with a catalogue that is always up.
    """
    return (
        Pipeline("playback-quality", source=SOURCE)
        .stage(validate, on_error=dead_letter())
        .stage(enrich, on_error=retry(3, then=dead_letter()), timeout_seconds=2, concurrency=64)
        .stage(score, on_error=dead_letter(), concurrency=16)
        .stage(route, on_error=dead_letter(), routes={agents.ALERTS_ROUTE: ALERTS}, fused=fused)
        .sink(SCORED)
    )


pipeline = build_pipeline(fused=False)
"""No stage is fused: each scales and fails independently."""

fused_pipeline = build_pipeline(fused=True)
"""Score and route are fused: both are cheap, and a topic between them would cost more."""
