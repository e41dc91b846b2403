"""Web: metrics, health and readiness over HTTP on the loopback address."""
