"""Built-in agents, which need a configuration and no code."""
