"""Examples: whole pipelines with their data, used by the demo and the tests."""
