"""Alert and recording rules for Prometheus as data, their rule file and their runbooks."""
