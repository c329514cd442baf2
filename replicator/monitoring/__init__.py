"""Telemetry events become metrics, log lines and pages."""
