"""Web: metrics, health and status over HTTP on the loopback address."""
