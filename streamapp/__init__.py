"""streamapp: typed agents between Kafka topics, with error policies, dead letters and metrics."""
