"""Leases live where those of the fault tests do."""

from tests.faults.conftest import lease_endpoint

__all__ = ["lease_endpoint"]
