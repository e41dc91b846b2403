"""Memory broker: imitates Kafka inside one process, for the demo, tests and simulation."""
