"""Addresses that a DSN and the `PG*` variables lead to, without any secret."""

import configparser
import getpass
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from replicator.errors import ConfigurationError

DEFAULT_PORT = 5432
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SHAPE = "postgresql://user@host:5432/database"
_ENCODING_REMEDY = (
    f"write it as {SHAPE}, with the characters @ : / ? # % of user and password percent-encoded; "
    "a password is better kept in target.password_file"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A server as a person names it. `hosts` may be directories of Unix sockets.

    `named` False: nobody named a host, so the usual socket directories come before localhost.
    `sslmode` and `session_attributes` are None when nobody asked for them.
    """

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    user: str
    database: str
    named: bool
    service: str | None
    sslmode: str | None
    sslrootcert: str | None
    session_attributes: str | None

    def __str__(self) -> str:
        places = ",".join(
            f"{f'[{host}]' if ':' in host else host}:{port}"
            for host, port in zip(self.hosts, self.ports, strict=True)
        )
        return f"postgresql://{self.user}@{places}/{self.database}"

    @property
    def local(self) -> bool:
        """Nothing leaves this machine."""
        return all(_is_local(host) for host in self.hosts)


def resolve(dsn: str | None, environment: Mapping[str, str]) -> Address:
    """The address asyncpg is to take; ConfigurationError for a DSN that cannot be read.

    The DSN wins over the service file, and that over the environment, as with libpq.
    """
    given = _from_dsn(dsn) if dsn else {}
    service = given.get("service") or environment.get("PGSERVICE")
    if service:
        given = {**_from_service(service, environment), **given}
    host_list = given.get("host") or environment.get("PGHOST")
    port_list = given.get("port") or environment.get("PGPORT") or str(DEFAULT_PORT)
    hosts, ports = _places(host_list or "localhost", port_list)
    user = given.get("user") or environment.get("PGUSER") or _system_user()
    sslmode = given.get("sslmode") or environment.get("PGSSLMODE")
    if sslmode is not None and sslmode not in SSL_MODES:
        raise ConfigurationError(
            "the sslmode of the target's DSN, or PGSSLMODE, is not a known one",
            remedy=f"use one of {', '.join(SSL_MODES)}",
        )
    return Address(
        hosts,
        ports,
        user,
        given.get("dbname") or given.get("database") or environment.get("PGDATABASE") or user,
        named=host_list is not None,
        service=service,
        sslmode=sslmode,
        sslrootcert=given.get("sslrootcert") or environment.get("PGSSLROOTCERT"),
        session_attributes=given.get("target_session_attrs")
        or environment.get("PGTARGETSESSIONATTRS"),
    )


def _from_dsn(dsn: str) -> dict[str, str]:
    # no message quotes any of it: a password with a special character may be in every part
    try:
        parts = urlsplit(dsn.strip())
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise ConfigurationError(
            "the target's DSN cannot be read", remedy=_ENCODING_REMEDY
        ) from None
    if parts.scheme not in {"postgresql", "postgres"} or parts.fragment:
        raise ConfigurationError(
            "the target's DSN is not of the form postgresql://…", remedy=_ENCODING_REMEDY
        )
    credentials, at, places = parts.netloc.rpartition("@")
    if "@" in credentials or "@" in parts.path:
        raise ConfigurationError("the target's DSN has an @ too many", remedy=_ENCODING_REMEDY)
    found = {
        "user": unquote(credentials.partition(":")[0]) if at else "",
        "host": places,
        "dbname": unquote(parts.path.removeprefix("/")),
    }
    return {**query, **{name: value for name, value in found.items() if value}}


def _places(host_list: str, port_list: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """`h1:5432,[::1]` as hosts and ports; `port_list` is for those that name none."""
    places = [_split_port(place.strip()) for place in host_list.split(",")]
    defaults = port_list.split(",")
    if len(defaults) == 1:
        defaults *= len(places)
    if len(defaults) != len(places):
        raise ConfigurationError(
            "the target's DSN has not as many ports as hosts",
            remedy="give one port, or one for every host",
        )
    texts = [port or default for (_, port), default in zip(places, defaults, strict=True)]
    if not all(text.isascii() and text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise ConfigurationError(
            "the port of the target's DSN, or PGPORT, is not a number from 1 to 65535",
            remedy=_ENCODING_REMEDY,
        )
    return tuple(unquote(host) for host, _ in places), tuple(int(text) for text in texts)


def _split_port(place: str) -> tuple[str, str | None]:
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        return host, port.removeprefix(":") or None
    if place.startswith("/") or place.count(":") != 1:
        return place, None
    host, _, port = place.partition(":")
    return host or "localhost", port or None


def _from_service(service: str, environment: Mapping[str, str]) -> dict[str, str]:
    file = Path(environment.get("PGSERVICEFILE") or Path.home() / ".pg_service.conf")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        message = f"the service file {file} cannot be read"
        raise ConfigurationError(message, remedy="correct it, or unset PGSERVICE") from None
    if service not in parser:
        message = f"the service {service!r} is not in {file}"
        raise ConfigurationError(message, remedy="correct PGSERVICE or PGSERVICEFILE")
    return dict(parser[service])


def _is_local(host: str) -> bool:
    if host.startswith("/") or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's numeric user has no name
        raise ConfigurationError(
            "no role to connect to PostgreSQL with",
            remedy=f"name it in target.dsn, {SHAPE}, or in PGUSER",
        ) from None
