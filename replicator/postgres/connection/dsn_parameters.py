"""Connection parameters of libpq: which are honoured, not used or refused, and why.

A connection string is pasted from a provider's console or another program. Every parameter that
libpq knows has a row here, so that none is passed on to a server that does not know it, and none
that protects somebody is dropped without a word. The DSN wins over the service file, and that over
the environment, as with libpq.
"""

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote

from replicator.errors import ConfigurationError

SHAPE = "postgresql://user@host:5432/database"
ENCODING_REMEDY = (
    f"write it as {SHAPE}, with the characters @ : / ? # % of user and password percent-encoded; "
    "a password is better kept in target.password_file"
)
ParameterUse = Literal["honoured", "not used", "refused"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: its treatment, and the reason. `variable` is the environment's variable.

    `harmless` are values of a refused parameter that are accepted, as they ask for nothing.
    """

    name: str
    variable: str | None
    treatment: ParameterUse
    why: str
    harmless: tuple[str, ...] = ()


_KEEPALIVES = (
    "the server sends keepalives for every session (30 s, 10 s, three times), and every statement "
    "has a limit of its own"
)
_NO_OAUTH = "the driver knows no OAuth"
PARAMETERS = (
    Parameter("host", "PGHOST", "honoured", "names, addresses or directories of sockets"),
    Parameter(
        "hostaddr",
        "PGHOSTADDR",
        "honoured",
        "instead of looking the host up; not with verify-full, as the driver checks the name that "
        "it connects to",
    ),
    Parameter("port", "PGPORT", "honoured", "one, or one for every host"),
    Parameter("dbname", "PGDATABASE", "honoured", "the database"),
    Parameter("user", "PGUSER", "honoured", "the role"),
    Parameter(
        "password",
        "PGPASSWORD",
        "honoured",
        "`target.password_file`, `password_secret` and `iam_auth` win over it",
    ),
    Parameter("passfile", "PGPASSFILE", "honoured", "the password file, `~/.pgpass` by default"),
    Parameter("service", "PGSERVICE", "honoured", "a section of the service file"),
    Parameter("servicefile", "PGSERVICEFILE", "honoured", "`~/.pg_service.conf` by default"),
    Parameter("options", "PGOPTIONS", "honoured", "but for the settings that the process pins"),
    Parameter(
        "connect_timeout", "PGCONNECT_TIMEOUT", "honoured", "over `target.connect_timeout_seconds`"
    ),
    Parameter(
        "target_session_attrs",
        "PGTARGETSESSIONATTRS",
        "honoured",
        "`any`, `read-write` or `primary`: nothing can be written elsewhere",
    ),
    Parameter("sslmode", "PGSSLMODE", "honoured", "`require` by default for another machine"),
    Parameter("ssl", None, "honoured", "`true` means sslmode=require"),
    Parameter("sslnegotiation", "PGSSLNEGOTIATION", "honoured", "`postgres` or `direct`"),
    Parameter("sslrootcert", "PGSSLROOTCERT", "honoured", "a file, or `system` with verify-full"),
    Parameter("sslcert", "PGSSLCERT", "honoured", "the client's certificate"),
    Parameter("sslkey", "PGSSLKEY", "honoured", "and its key"),
    Parameter("sslpassword", None, "honoured", "and the key's password"),
    Parameter("sslcrl", "PGSSLCRL", "honoured", "certificates that are revoked"),
    Parameter("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", "honoured", "of TLS"),
    Parameter("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", "honoured", "of TLS"),
    Parameter(
        "channel_binding",
        "PGCHANNELBINDING",
        "honoured",
        "the driver knows none: `require` means sslmode=verify-full, with sslrootcert=system "
        "unless a file is named, which keeps the same attackers out",
    ),
    Parameter("krbsrvname", "PGKRBSRVNAME", "honoured", "of Kerberos"),
    Parameter("gsslib", "PGGSSLIB", "honoured", "of Kerberos"),
    Parameter(
        "application_name",
        "PGAPPNAME",
        "not used",
        "sessions carry the name by which a takeover finds them: `target.application_name`",
    ),
    Parameter("fallback_application_name", None, "not used", "as application_name"),
    Parameter("keepalives", None, "not used", _KEEPALIVES),
    Parameter("keepalives_idle", None, "not used", _KEEPALIVES),
    Parameter("keepalives_interval", None, "not used", _KEEPALIVES),
    Parameter("keepalives_count", None, "not used", _KEEPALIVES),
    Parameter("tcp_user_timeout", None, "not used", _KEEPALIVES),
    Parameter("load_balance_hosts", "PGLOADBALANCEHOSTS", "not used", "hosts are tried in order"),
    Parameter("max_protocol_version", "PGMAXPROTOCOLVERSION", "not used", "the driver speaks 3.0"),
    Parameter(
        "client_encoding",
        "PGCLIENTENCODING",
        "refused",
        "texts are written as UTF-8",
        ("utf8", "utf-8", "unicode", "auto"),
    ),
    Parameter(
        "gssencmode",
        "PGGSSENCMODE",
        "refused",
        "the driver encrypts by TLS only",
        ("disable", "prefer"),
    ),
    Parameter(
        "require_auth",
        "PGREQUIREAUTH",
        "refused",
        "the driver answers to whatever the server asks; sslmode=verify-full says who asks",
    ),
    Parameter(
        "replication",
        None,
        "refused",
        "tables are written in usual sessions",
        ("false", "off", "no", "0"),
    ),
    Parameter(
        "requiressl", "PGREQUIRESSL", "refused", "it is out of use: write sslmode=require", ("0",)
    ),
    Parameter("sslcompression", "PGSSLCOMPRESSION", "refused", "TLS compresses nothing", ("0",)),
    Parameter(
        "sslcertmode",
        "PGSSLCERTMODE",
        "refused",
        "a certificate is sent where sslcert names one and the server asks",
        ("allow",),
    ),
    Parameter("sslcrldir", "PGSSLCRLDIR", "refused", "name a file in sslcrl"),
    Parameter("sslsni", "PGSSLSNI", "refused", "the driver always names the host", ("1",)),
    Parameter("requirepeer", "PGREQUIREPEER", "refused", "nobody looks who owns a socket"),
    Parameter("gssdelegation", "PGGSSDELEGATION", "refused", "nothing is delegated", ("0",)),
    Parameter(
        "min_protocol_version", "PGMINPROTOCOLVERSION", "refused", "the driver speaks 3.0", ("3.0",)
    ),
    Parameter("scram_client_key", None, "refused", "the driver takes a password only"),
    Parameter("scram_server_key", None, "refused", "the driver takes a password only"),
    Parameter("oauth_issuer", None, "refused", _NO_OAUTH),
    Parameter("oauth_client_id", None, "refused", _NO_OAUTH),
    Parameter("oauth_client_secret", None, "refused", _NO_OAUTH),
    Parameter("oauth_scope", None, "refused", _NO_OAUTH),
    Parameter(
        "sslkeylogfile", None, "refused", "it would give away every session's keys: unset it"
    ),
)
_BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
_ALIASES = {"database": "dbname"}
_OTHERS = {
    "pgbouncer": "say `pooler: transaction` under `target`, and drop it",
    "schema": "a target is named with its schema in `into`: drop it",
    "connection_limit": "say `pool_size` under `target`, and drop it",
    "pool_timeout": "drop it: it is another program's",
    "supa": "drop it: it is another program's",
}
"""Parameters of other programs that stand in pasted strings, and what to do."""
_DSN = re.compile(
    r"postgres(?:ql)?://(?P<place>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?#?", re.IGNORECASE
)
"""The parts of a DSN, told apart as RFC 3986 does for a URL in its appendix B.

`urllib.parse.urlsplit` refuses several hosts of which one is an address of IPv6 in brackets: in
some versions of Python, such as 3.11.2.
"""
_SESSIONS = ("any", "read-write", "primary")


def given_parameters(dsn: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """All parameters by libpq's names; ConfigurationError for what is refused or not known.

    No message quotes a value: a password with a special character may be in every part.
    """
    given = _checked(_from_dsn(dsn), "the target's DSN") if dsn else {}
    service = given.get("service") or environment.get("PGSERVICE")
    if service:
        file = _service_file(given, environment)
        found = _checked(_from_service(service, file), f"the service {service!r} in {file}")
        given = {**found, **given, "service": service}
    variables = {
        parameter.name: value
        for parameter in PARAMETERS
        if parameter.variable is not None
        and parameter.name not in given
        and (value := environment.get(parameter.variable))
    }
    for name, value in variables.items():
        _require_accepted(_BY_NAME[name], value, f"{_BY_NAME[name].variable}")
    return {**variables, **given}


def _checked(found: Mapping[str, str], where: str) -> dict[str, str]:
    """The parameters, each under its name, none of them refused."""
    named = {_ALIASES.get(name, name): value for name, value in found.items()}
    for name, value in named.items():
        parameter = _BY_NAME.get(name)
        if parameter is None:
            raise _unknown(name, where)
        _require_accepted(parameter, value, f"{name} in {where}")
    if named.get("ssl", "").lower() in ("true", "1"):
        named.setdefault("sslmode", "require")
    return {name: value for name, value in named.items() if value}  # empty: the default


def _require_accepted(parameter: Parameter, value: str, where: str) -> None:
    if parameter.name == "target_session_attrs" and value not in _SESSIONS:
        raise ConfigurationError(
            f"{where} leads to servers that cannot be written to, or is not known",
            remedy=f"use one of {', '.join(_SESSIONS)}",
        )
    if parameter.treatment == "refused" and value.lower() not in parameter.harmless:
        raise ConfigurationError(
            f"{where} cannot be honoured: {parameter.why}",
            remedy=f"drop {parameter.name}, or give another value: docs/operations/postgresql.md "
            "tells of every parameter",
        )


def _unknown(name: str, where: str) -> ConfigurationError:
    shown = name[:40]
    if name in _OTHERS:
        remedy = _OTHERS[name]
    elif near := get_close_matches(name.lower(), _BY_NAME, n=1, cutoff=0.8):
        remedy = f"did you mean {near[0]}?"
    else:
        remedy = "drop it; a setting of the session is written as options=-c%20name%3Dvalue"
    return ConfigurationError(f"{where} has the parameter {shown!r}, which is none", remedy=remedy)


def has_password(dsn: str) -> bool:
    """Whether the DSN itself has one; ConfigurationError where it cannot be read."""
    return bool(_from_dsn(dsn).get("password"))


def _from_dsn(dsn: str) -> dict[str, str]:
    parts = _DSN.fullmatch(dsn.strip())
    if not parts:
        raise ConfigurationError(
            "the target's DSN is not of the form postgresql://…", remedy=ENCODING_REMEDY
        )
    plain = (parts["query"] or "").replace("+", "%2B")  # a plus is a plus, as in libpq
    try:
        query = dict(parse_qsl(plain, strict_parsing=True, keep_blank_values=True) if plain else ())
    except ValueError:
        raise ConfigurationError(
            "the target's DSN cannot be read", remedy=ENCODING_REMEDY
        ) from None
    credentials, at, places = parts["place"].rpartition("@")
    if "@" in credentials or "@" in parts["path"]:
        raise ConfigurationError("the target's DSN has an @ too many", remedy=ENCODING_REMEDY)
    user, _, password = credentials.partition(":") if at else ("", "", "")
    found = {
        "user": unquote(user),
        "password": unquote(password),
        "host": places,
        "dbname": unquote(parts["path"].removeprefix("/")),
    }
    return {**query, **{name: value for name, value in found.items() if value}}


def _service_file(given: Mapping[str, str], environment: Mapping[str, str]) -> Path:
    named = given.get("servicefile") or environment.get("PGSERVICEFILE")
    return Path(named) if named else Path.home() / ".pg_service.conf"


def _from_service(service: str, file: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):
        message = f"the service file {file} cannot be read"
        raise ConfigurationError(message, remedy="correct it, or unset PGSERVICE") from None
    if service not in parser:
        message = f"the service {service!r} is not in {file}"
        raise ConfigurationError(message, remedy="correct PGSERVICE or PGSERVICEFILE")
    return dict(parser[service])
