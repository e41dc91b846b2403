"""What a segment is made of: its consumer, its steps, and the topics that they write to."""

from collections.abc import Mapping
from concurrent.futures import Executor

from streamapp.brokers.protocols import ConsumerConfig, TopicDescription
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.handover import Handover
from streamapp.pipeline.topology import Segment
from streamapp.runtime.config import Environment
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.segment_topics import ANSWER_SECONDS
from streamapp.runtime.steps import StepRunner


def consumer_config(segment: Segment, environment: Environment) -> ConsumerConfig:
    """How a segment reads its topics, as a member of its group."""
    # A revocation takes the drain, the last commit and the wait for cancelled attempts (5 s each by
    # default), and the look for topics that match; a member that needs longer than the rebalance
    # timeout would be evicted. Topics that match are subscribed to beside these.
    look_seconds = ANSWER_SECONDS if segment.patterns else 0.0
    drain_seconds = environment.config.revoke_drain_seconds
    return ConsumerConfig(
        group=segment.group,
        topics=segment.read_topics,
        max_prefetch_bytes=segment.steps[0].stage.config.max_in_flight_bytes,
        rebalance_timeout_seconds=2 * drain_seconds + 10 + look_seconds,
        session_timeout_seconds=environment.config.session_timeout_seconds,
        group_instance_id=environment.config.instance_id,
    )


def compiled(
    segment: Segment,
    topics: Mapping[str, TopicDescription],
    metrics: tuple[StageMetrics, ...],
    threads: Executor,
    environment: Environment,
) -> tuple[tuple[StepRunner, ...], list[OutputTopic]]:
    """The steps of a segment, and the topics that they write to."""
    steps: list[StepRunner] = []
    targets: list[OutputTopic] = []
    retry_topics = segment.retry_topics
    handover: Handover | None = None
    for i, (step, own) in enumerate(zip(segment.steps, metrics, strict=True)):
        by_name = {
            name: OutputTopic(
                topics[name],
                own,
                environment.clock.time,
                compression=environment.broker.compression,
                holds_letters=name == step.dead_letters or name in retry_topics,
                is_read_later=name in environment.between,
            )
            for name in step.written_topics()
        }
        steps.append(
            StepRunner(
                segment, i, by_name, own, threads, handover=handover, clock=environment.clock
            )
        )
        handover = steps[-1].next_handover
        targets += by_name.values()
    return tuple(steps), targets
