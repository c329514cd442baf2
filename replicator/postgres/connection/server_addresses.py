"""Addresses that a DSN and the `PG*` variables lead to, without any secret."""

import getpass
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from replicator.errors import ConfigurationError
from replicator.postgres.connection.dsn_parameters import ENCODING_REMEDY, SHAPE, given_parameters

DEFAULT_PORT = 5432
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SYSTEM = "system"
"""In place of a file of certificate authorities: the authorities that the machine trusts."""
_OF_THE_DRIVER = (
    *("sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation", "krbsrvname", "gsslib"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
)


@dataclass(frozen=True, slots=True)
class Address:
    """A server as a person names it. `hosts` may be directories of Unix sockets.

    `named` False: no host was given, so the usual socket directories come before localhost.
    `sslmode` and `session_attributes` are None where not given.
    """

    hosts: tuple[str, ...]
    """Address and identity of a connection."""
    names: tuple[str, ...]
    """The hosts by name: other than `hosts` where `hostaddr` gives the addresses."""
    ports: tuple[int, ...]
    user: str
    database: str
    named: bool
    sslmode: str | None
    sslrootcert: str | None
    session_attributes: str | None
    connect_timeout_seconds: float | None
    password: str | None = field(repr=False)
    passfile: str | None
    options: str | None
    driver: Mapping[str, str] = field(repr=False)
    """Parameters that asyncpg understands by themselves."""

    def __str__(self) -> str:
        places = ",".join(
            f"{f'[{host}]' if ':' in host else host}:{port}"
            for host, port in zip(self.hosts, self.ports, strict=True)
        )
        return f"postgresql://{self.user}@{places}/{self.database}"

    @property
    def local(self) -> bool:
        """Nothing leaves the machine."""
        return all(_is_local(host) for host in self.hosts)


def resolve(dsn: str | None, environment: Mapping[str, str]) -> Address:
    """The address asyncpg is to take; ConfigurationError for what cannot be read or honoured."""
    given = given_parameters(dsn, environment)
    sslmode, sslrootcert = _security(given)
    addresses = given.get("hostaddr")
    host_list = given.get("host") or addresses
    names, ports = _places(host_list or "localhost", given.get("port") or str(DEFAULT_PORT))
    hosts = names
    if addresses:
        hosts = tuple(addresses.split(","))
        if len(hosts) != len(ports):
            raise ConfigurationError(
                "hostaddr (or PGHOSTADDR) has not as many addresses as there are hosts",
                remedy="give one for every host",
            )
    if addresses and sslmode == "verify-full":
        raise ConfigurationError(
            "hostaddr (or PGHOSTADDR) does not go with sslmode=verify-full: the certificate names "
            "the host, and the driver checks what it connects to",
            remedy="name the host alone",
        )
    user = given.get("user") or _system_user()
    return Address(
        hosts,
        names,
        ports,
        user,
        given.get("dbname") or user,
        named=host_list is not None,
        sslmode=sslmode,
        sslrootcert=sslrootcert,
        session_attributes=given.get("target_session_attrs"),
        connect_timeout_seconds=_seconds(given.get("connect_timeout")),
        password=given.get("password"),
        passfile=given.get("passfile"),
        options=given.get("options"),
        driver={name: given[name] for name in _OF_THE_DRIVER if name in given},
    )


def _security(given: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The sslmode and the authority that are asked for."""
    sslmode, sslrootcert = given.get("sslmode"), given.get("sslrootcert")
    if sslmode is not None and sslmode not in SSL_MODES:
        raise ConfigurationError(
            "the sslmode of the target's DSN, or PGSSLMODE, is not a known one",
            remedy=f"use one of {', '.join(SSL_MODES)}",
        )
    if given.get("channel_binding") == "require":
        return "verify-full", sslrootcert or SYSTEM
    if sslrootcert == SYSTEM and sslmode not in (None, "verify-full"):
        raise ConfigurationError(
            f"sslrootcert=system does not go with sslmode={sslmode}: everybody can have a "
            "certificate of these authorities, so that only the name tells who answers",
            remedy="say sslmode=verify-full",
        )
    return "verify-full" if sslrootcert == SYSTEM else sslmode, sslrootcert


def _seconds(text: str | None) -> float | None:
    """The limit for connecting; None where none is said, which 0 means too."""
    if text is None:
        return None
    try:
        seconds = int(text)
    except ValueError:
        raise ConfigurationError(
            "connect_timeout of the target's DSN, or PGCONNECT_TIMEOUT, is no whole number",
            remedy="give seconds, such as connect_timeout=10",
        ) from None
    return float(max(seconds, 2)) if seconds > 0 else None


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
            remedy=ENCODING_REMEDY,
        )
    return tuple(unquote(host) for host, _ in places), tuple(int(text) for text in texts)


def _split_port(place: str) -> tuple[str, str | None]:
    if place.startswith("["):
        host, closed, port = place[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            raise ConfigurationError(
                "the target's DSN has a host in brackets that do not end, or no : after them",
                remedy=ENCODING_REMEDY,
            )
        return host, port.removeprefix(":") or None
    if place.startswith("/") or place.count(":") != 1:
        return place, None
    host, _, port = place.partition(":")
    return host or "localhost", port or None


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
