"""What the tests stand on: real parts, builders, fakes that keep the contracts."""
