"""The password in the text of a secret, from any store of AWS."""

import json

from replicator.errors import ConfigurationError


def password_in(text: str, name: str) -> str:
    """The text itself, or `password` of the JSON object that RDS keeps; ConfigurationError."""
    if text.startswith("{"):
        try:
            text = str(json.loads(text).get("password") or "")
        except ValueError:
            text = ""  # a broken object is no password
    if not text:
        message = f"the secret {name} holds no password"
        raise ConfigurationError(
            message, remedy='store the password as text, or as {"password": "…"}'
        )
    return text
