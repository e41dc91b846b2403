"""Reads dead letters from a broker, and sends them back to their stages, each of them once."""
