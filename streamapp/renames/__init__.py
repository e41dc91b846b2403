"""Renames: finds renamed stages by the offsets and topics that Kafka has of them."""
