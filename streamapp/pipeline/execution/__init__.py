"""Runs a pipeline in this process, without a broker."""
