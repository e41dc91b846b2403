"""Kinds of work, as a closed set by which a registry can be searched."""

from enum import StrEnum


class Capability(StrEnum):
    """Kinds of work that agents offer."""

    STREAM_PROCESSING = "stream_processing"
    BATCH_PROCESSING = "batch_processing"
    DATA_TRANSFORMATION = "data_transformation"
    DATA_VALIDATION = "data_validation"
    DATA_AGGREGATION = "data_aggregation"
    DATA_ENRICHMENT = "data_enrichment"
