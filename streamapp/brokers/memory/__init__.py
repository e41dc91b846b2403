"""Memory broker: Kafka's behaviour in one process, for the demo, tests and simulation."""
