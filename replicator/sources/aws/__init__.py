"""AWS as one process meets it: clients, places, prepared and signed calls, failures, secrets."""
