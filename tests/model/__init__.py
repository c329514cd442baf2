"""Models: small worlds whose schedules are tried by the thousand."""
