"""One member of a consumer group for several readers, each with topics of its own."""
