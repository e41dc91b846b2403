"""Definitions of agents: which there are, which fit together, and pipelines made of them."""
