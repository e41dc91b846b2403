"""Examples that ship: whole pipelines with their data, used by the demo and the tests."""
