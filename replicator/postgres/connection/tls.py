"""TLS of a connection: the files it needs, checked first, and what asyncpg is told."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from replicator.errors import ConfigurationError
from replicator.postgres.connection.server_addresses import SYSTEM, Address

_FILES = ("sslcert", "sslkey", "sslcrl")
_KERBEROS = ("krbsrvname", "gsslib")
_VERSIONS = {
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
_VERIFYING = ("verify-ca", "verify-full")


def tls_arguments(address: Address, *, encrypted: bool) -> dict[str, Any]:
    """The arguments of asyncpg.connect; ConfigurationError for a file that cannot be read.

    `encrypted` asks for TLS where nobody said so, on the machine too.
    """
    driver = dict(address.driver)
    if address.sslmode != "disable":
        for name in _FILES:
            _require_readable(name, driver.get(name))
        if address.sslrootcert != SYSTEM:
            _require_authority(address)
    mode = address.sslmode or ("require" if encrypted or not address.local else None)
    if address.sslrootcert == SYSTEM:
        direct = driver.get("sslnegotiation") == "direct"
        arguments: dict[str, Any] = {"ssl": _system_context(driver), "direct_tls": direct}
        return arguments | {name: driver[name] for name in _KERBEROS if name in driver}
    told = {"sslmode": mode, "sslrootcert": address.sslrootcert, **driver}
    said = {name: value for name, value in told.items() if value is not None}
    return {"dsn": f"postgresql://?{urlencode(said)}"} if said else {}


def _require_authority(address: Address) -> None:
    """A certificate authority must be known where the server's certificate is to be verified."""
    if address.sslrootcert is not None:
        _require_readable("sslrootcert", address.sslrootcert)
    elif address.sslmode in _VERIFYING and not _usual_authority().is_file():
        raise ConfigurationError(
            f"sslmode={address.sslmode} needs the authority that signs the server's certificate, "
            f"and there is no {_usual_authority()}",
            remedy="name the provider's file as sslrootcert in target.dsn (or PGSSLROOTCERT), or "
            "say sslrootcert=system where a public authority signs",
        )


def _usual_authority() -> Path:
    return Path("~/.postgresql/root.crt").expanduser()


def _require_readable(name: str, file: str | None) -> None:
    if file is None:
        return
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{name} of target.dsn (or PG{name.upper()}) cannot be read: {file}: {error.strerror}",
            remedy="correct the path, mount the file, or give the process the right to read it",
        ) from error


def _system_context(driver: Mapping[str, str]) -> ssl.SSLContext:
    """TLS that takes servers by the names, as the machine's authorities know them."""
    context = ssl.create_default_context()
    context.minimum_version = _version(driver, "ssl_min_protocol_version", "TLSv1.2")
    context.maximum_version = _version(driver, "ssl_max_protocol_version", "TLSv1.3")
    if "sslcert" in driver:
        password = driver.get("sslpassword", "")
        context.load_cert_chain(driver["sslcert"], driver.get("sslkey"), lambda: password)
    if "sslcrl" in driver:
        context.load_verify_locations(cafile=driver["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    context.set_alpn_protocols(["postgresql"])
    return context


def _version(driver: Mapping[str, str], name: str, default: str) -> ssl.TLSVersion:
    version = _VERSIONS.get(driver.get(name, default))
    if version is None:
        raise ConfigurationError(
            f"{name} of the target's DSN is not a known version",
            remedy=f"use {', '.join(_VERSIONS)}",
        )
    return version
