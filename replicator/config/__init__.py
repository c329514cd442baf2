"""The configuration: one YAML file below the environment, checked as a whole before use.

`replicator.config.load_settings.load` gives `replicator.config.settings.Settings`.
"""
