"""Names of environment variables that commands read, and what holds without them."""

CONFIG_VARIABLE = "STREAMAPP_CONFIG_FILE"
"""Environment variable with the name of the configuration file."""

DEFAULT_PORT = 9464
"""The port that OpenTelemetry's Prometheus exporters use by default."""

PORT_VARIABLE = "STREAMAPP_WEB_PORT"
"""Environment variable with another port."""

EXPORTER_PORT = 9465
"""The port of `streamapp exporter`, which may run beside a worker."""

EXPORTER_PORT_VARIABLE = "STREAMAPP_EXPORTER_PORT"
"""Environment variable with another port."""

HOST_VARIABLE = "STREAMAPP_WEB_HOST"
"""Environment variable with another address to listen on than that of this machine alone."""

OPEN_VARIABLE = "STREAMAPP_WEB_OPEN"
"""Environment variable: whether probes and scrapes need no token."""

HOSTS_VARIABLE = "STREAMAPP_WEB_ALLOWED_HOSTS"
"""Environment variable with further names by which a server on 127.0.0.1 may be asked."""

TOKEN_VARIABLE = "STREAMAPP_WEB_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the token that whoever asks has to send."""

INSTANCE_VARIABLE = "STREAMAPP_WORKER_INSTANCE_ID"
"""Environment variable with the name of a worker as a static member of its groups."""

STALL_VARIABLE = "STREAMAPP_STALL_SECONDS"
"""Environment variable: a stage that has lag and finishes nothing for so long is stalled."""

START_VARIABLE = "STREAMAPP_START_SECONDS"
"""Environment variable: a worker of several that is not up for so long is started again."""

TRACES_VARIABLE = "STREAMAPP_TRACES"
"""Environment variable with the share of new traces that `run` keeps; without it there are none."""

AFTER_VARIABLE = "STREAMAPP_REASSEMBLE_AFTER_SECONDS"
"""Environment variable: how long a breaker may not be closed until its agent is replaced."""
