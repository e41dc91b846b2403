"""Dashboards of Grafana as data, and the files that are made of them."""
