"""Access to AWS: clients, endpoints, signed requests, secrets, translated failures."""
