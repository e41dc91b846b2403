"""Pipelines: agents, stages and topics, declared once and checked when built."""
