"""Names of environment variables that commands read, and what holds without them."""

CONFIG_VARIABLE = "STREAMAPP_CONFIG_FILE"
"""Environment variable with the name of the configuration file."""

DEFAULT_PORT = 9464
"""The port that OpenTelemetry's Prometheus exporters use by default."""

PORT_VARIABLE = "STREAMAPP_WEB_PORT"
"""Environment variable with another port."""

INSTANCE_VARIABLE = "STREAMAPP_WORKER_INSTANCE_ID"
"""Environment variable with the name of a worker as a static member of its groups."""

AFTER_VARIABLE = "STREAMAPP_REASSEMBLE_AFTER_SECONDS"
"""Environment variable: how long a breaker may not be closed until its agent is replaced."""
