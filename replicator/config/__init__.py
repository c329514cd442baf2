"""The configuration: one YAML file below the environment, checked as a whole before use.

`replicator.config.loading.load` gives `replicator.config.settings.Settings`.
"""
