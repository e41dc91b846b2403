"""Testing: run a pipeline on the memory broker inside a test, and read what came out.

It needs no pytest and no Kafka. The runtime is the one that runs in production; only the waits
between retries are left out.
"""

from streamapp.testing.clock import FixedClock
from streamapp.testing.driver import PipelineDriver
from streamapp.testing.inputs import Input
from streamapp.testing.results import DeadLetter, Output, PipelineResults
from streamapp.testing.running import RunningPipeline, UnfinishedError

__all__ = [
    "DeadLetter",
    "FixedClock",
    "Input",
    "Output",
    "PipelineDriver",
    "PipelineResults",
    "RunningPipeline",
    "UnfinishedError",
]
