"""Brokers: the protocols that the runtime speaks, and the brokers that speak them."""
