"""Kafka broker: aiokafka, used so that every error is reported and every wait has a deadline."""
