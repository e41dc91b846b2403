"""Which kind of first attempts a segment makes."""

from streamapp.pipeline.topology import Segment
from streamapp.runtime.attempts import Attempts
from streamapp.runtime.batch_run import BatchRun
from streamapp.runtime.burst import Burst
from streamapp.runtime.config import Environment
from streamapp.runtime.delivery import Delivery
from streamapp.runtime.first_attempts import FirstAttempts
from streamapp.runtime.hold import Hold
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.retry_later import RetriedRecords
from streamapp.runtime.slices import TimeSlice
from streamapp.runtime.steps import StepRunner


def first_attempts_of(
    segment: Segment,
    steps: tuple[StepRunner, ...],
    attempts: Attempts,
    environment: Environment,
    *,
    ready: ReadyQueue,
    retries: RetryQueue,
    delivery: Delivery,
    time_slice: TimeSlice,
    hold: Hold,
) -> FirstAttempts:
    """Calls with several records for a batch agent; for others, bursts with one after the other."""
    stage, retried = segment.steps[0].stage, RetriedRecords(segment, steps)
    if stage.agent.batching is not None:
        return BatchRun(
            steps[0],
            stage.agent.batching,
            stage.config.ordering,
            attempts,
            ready=ready,
            retries=retries,
            time_slice=time_slice,
            clock=environment.clock,
            rng=environment.rng,
            retried=retried,
        )
    return Burst(
        steps,
        stage.config.ordering,
        attempts,
        ready=ready,
        delivery=delivery,
        time_slice=time_slice,
        clock=environment.clock,
        hold=hold,
        retried=retried,
        reads_between=segment.has_source_among(environment.between),
    )
