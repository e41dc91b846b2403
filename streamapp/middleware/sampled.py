"""Which traces are kept: needs the extra `otel`."""

import os

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

_SERVICE = "OTEL_SERVICE_NAME"


def sampled_provider(share: float) -> TracerProvider:
    """Makes spans, and keeps this share of the traces that begin here.

    A record that brings a trace is kept or not as whoever began the trace has decided.

    Args:
        share: from 0 to 1.
    """
    resource = Resource.create({"service.name": os.environ.get(_SERVICE, "streamapp")})
    return TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(share)), resource=resource, shutdown_on_exit=False
    )
