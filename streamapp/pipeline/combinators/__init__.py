"""Combinators: each takes agents and makes one agent of them, which runs like any other."""
