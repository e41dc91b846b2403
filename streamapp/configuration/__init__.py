"""The configuration file `atomic_data_config.json`: read, checked, saved."""
