"""A real Apache Kafka for development and tests, run from its published jars."""
