"""Traces of `streamapp run`: where spans go, and which share of them is kept."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from streamapp.cli.variables import TRACES_VARIABLE
from streamapp.errors import ConfigurationError
from streamapp.observability.exemplars import Exemplars
from streamapp.pipeline.middleware import AroundMiddleware


@contextmanager
def traces_from_environment(exemplars: Exemplars) -> Iterator[tuple[AroundMiddleware, ...]]:
    """The middleware that makes traces, if they are turned on; at the end, all spans are sent.

    Spans go where OpenTelemetry's own variables say, such as OTEL_EXPORTER_OTLP_ENDPOINT.

    Args:
        exemplars: is told of the traces that are kept, for the metrics.

    Raises:
        ConfigurationError: the share is none, or the extra `otel` is not installed.
    """
    given = os.environ.get(TRACES_VARIABLE)
    if not given:
        yield ()
        return
    share = _share(given)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from streamapp.middleware.sampled import sampled_provider
        from streamapp.middleware.traces import TraceStages
    except ImportError as error:
        raise ConfigurationError(
            f"{TRACES_VARIABLE} is set, and OpenTelemetry is not installed; install"
            " streamapp[otel], or unset it"
        ) from error
    provider = sampled_provider(share)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield (TraceStages(provider, exemplars),)
    finally:
        provider.shutdown()


def _share(given: str) -> float:
    try:
        share = float(given)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:  # NaN is not, either
        raise ConfigurationError(
            f"{TRACES_VARIABLE} is {given!r}; give the share of new traces that are kept, from 0"
            " to 1"
        )
    return share
