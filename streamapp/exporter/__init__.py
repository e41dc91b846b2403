"""Watches stages from outside, by what Kafka says: those that do not run as well."""
