"""Observability: metric definitions, counters of a stage, and their way to Prometheus."""
