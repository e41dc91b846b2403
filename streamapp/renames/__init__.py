"""Renames: what Kafka remembers of stages that have another name now."""
