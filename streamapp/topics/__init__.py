"""Topics: what is declared, what the broker has, and how to make them agree."""
