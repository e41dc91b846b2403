"""Measures the agents of assembled pipelines while they run, and replaces those that fail."""
