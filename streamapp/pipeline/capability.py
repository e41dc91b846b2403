"""What an agent can do, as a closed set that a registry is searched by."""

from enum import StrEnum


class Capability(StrEnum):
    """Kinds of work that agents offer."""

    STREAM_PROCESSING = "stream_processing"
    BATCH_PROCESSING = "batch_processing"
    DATA_TRANSFORMATION = "data_transformation"
    DATA_VALIDATION = "data_validation"
    DATA_AGGREGATION = "data_aggregation"
    DATA_ENRICHMENT = "data_enrichment"
