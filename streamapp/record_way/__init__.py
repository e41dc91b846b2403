"""Follows one record through the stages of its pipelines, and disturbs nobody by it."""
