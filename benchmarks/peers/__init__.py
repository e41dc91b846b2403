"""Contenders built on other libraries: no streamapp here, and environments of their own."""
