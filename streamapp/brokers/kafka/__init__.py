"""Kafka broker: aiokafka, driven so that nothing is silent and every wait has an end."""
