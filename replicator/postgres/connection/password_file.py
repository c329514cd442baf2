r"""Passwords from libpq's password file, where `\` stands before a `:` or a `\` that is meant."""

import re
import stat
from collections.abc import Sequence
from pathlib import Path

from replicator.errors import ConfigurationError
from replicator.postgres.connection.server_addresses import Address

_FIELD = re.compile(r"([^\\:]*(?:\\.[^\\:]*)*):")
_ESCAPED = re.compile(r"\\(.)")


def password_for(address: Address) -> str | None:
    """The password of the first line that is for the address; None where no line is.

    ConfigurationError where it stands in a file that others may read, which libpq does not use.
    """
    file = Path(address.passfile) if address.passfile else Path("~/.pgpass").expanduser()
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        mode = file.stat().st_mode if lines else 0
    except (OSError, UnicodeDecodeError):
        return None
    for host, port in zip(address.names, address.ports, strict=True):
        of_socket = "localhost" if host.startswith("/") else host
        wanted = (of_socket, str(port), address.database, address.user)
        for line in lines:
            password = _password_in(line, wanted)
            if password is not None:
                if mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise ConfigurationError(
                        f"the password file {file} can be read by others, so it is not used",
                        remedy=f"chmod 600 {file}",
                    )
                return password
    return None


def _password_in(line: str, wanted: Sequence[str]) -> str | None:
    if line.startswith("#"):
        return None
    position = 0
    for name in wanted:
        field = _FIELD.match(line, position)
        if field is None or _plain(field[1]) not in ("*", name):
            return None
        position = field.end()
    return _plain(line[position:])


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)
