"""Brokers: the protocols that the runtime uses, and two implementations, memory and kafka."""
