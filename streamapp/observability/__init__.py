"""Observability: metrics, health rules, logs, and the dashboard as data."""
