"""The playback pipeline: validate, enrich, score, and send poor quality to an alert topic."""

from streamapp.examples.playback import agents
from streamapp.examples.playback.models import RawPlayback, ScoredPlayback
from streamapp.pipeline.agent import agent
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import dead_letter, retry
from streamapp.topics.topic import Topic

SOURCE = Topic("playback.raw", RawPlayback)
SCORED = Topic("playback.scored", ScoredPlayback)
ALERTS = Topic("playback.alerts", ScoredPlayback)

validate = agent(capabilities=[Capability.DATA_VALIDATION])(agents.validate)
enrich = agent(name="enrich", capabilities=[Capability.DATA_ENRICHMENT])(agents.Enrich())
score = agent(capabilities=[Capability.DATA_TRANSFORMATION])(agents.score)
route = agent(capabilities=[Capability.STREAM_PROCESSING])(agents.route)


def build_pipeline(*, fused: bool) -> Pipeline[RawPlayback, ScoredPlayback]:
    """The pipeline of four stages; `fused` fuses the last two."""
    return (
        Pipeline("playback-quality", source=SOURCE)
        .stage(validate, on_error=dead_letter())
        .stage(enrich, on_error=retry(3, then=dead_letter()), timeout_seconds=2, concurrency=64)
        .stage(score, on_error=dead_letter())
        .stage(route, on_error=dead_letter(), routes={agents.ALERTS_ROUTE: ALERTS}, fused=fused)
        .sink(SCORED)
    )


pipeline = build_pipeline(fused=False)
"""No stage is fused: each scales and fails independently."""

fused_pipeline = build_pipeline(fused=True)
"""Score and route are fused: both are cheap, and a topic between them would cost more."""
