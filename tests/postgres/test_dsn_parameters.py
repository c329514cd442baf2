"""Connection strings as people paste them: a parameter of libpq is honoured, or said to be not."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import asyncpg
import pytest

from replicator.errors import ConfigurationError, SinkUnavailable
from replicator.postgres.connection.connect import ConnectionSettings, connect
from replicator.postgres.connection.dsn_parameters import PARAMETERS, given_parameters
from replicator.postgres.connection.password_file import password_for
from replicator.postgres.connection.server_addresses import resolve
from replicator.postgres.connection.tls import tls_arguments
from tests.docs.blocks import ROOT
from tests.support.bounds import TEST_SECONDS
from tests.support.missing_part import skip_without
from tests.support.postgres_versions import VersionMissing, postgres_of

PASSWORD = "50%_s3cr:t/@+&=#?"
HONOURED = [each for each in PARAMETERS if each.treatment == "honoured"]
UNUSED = [each for each in PARAMETERS if each.treatment == "not used"]
REFUSED = [each for each in PARAMETERS if each.treatment == "refused"]
TRIED: set[str] = {
    *("host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service"),
    *("servicefile", "options", "connect_timeout", "target_session_attrs"),
    *("sslmode", "ssl", "sslnegotiation", "sslrootcert", "sslcert", "sslkey", "sslpassword"),
    *("sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version", "channel_binding"),
    *("krbsrvname", "gsslib"),
}


def named(parameter) -> str:
    return parameter.name


@dataclass(frozen=True)
class Tls:
    """A server that offers TLS under the name localhost, and the files of its authority."""

    port: int
    folder: Path

    def dsn(self, user: str = "app", host: str = "localhost", **parameters: str) -> str:
        password = f":{quote(PASSWORD, safe='')}" if user == "app" else ""
        return f"postgresql://{user}{password}@{host}:{self.port}/postgres?{urlencode(parameters)}"

    def file(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl that makes certificates")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments: str) -> None:
        subprocess.run([str(openssl), *arguments], cwd=folder, check=True, capture_output=True)

    authority = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority"
    run(*authority.split(), "-keyout", "ca.key", "-out", "ca.crt")
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    for name, subject in (("server", "/CN=localhost"), ("client", "/CN=certified")):
        request = f"req -newkey rsa:2048 -nodes -subj {subject} -keyout {name}.key -out {name}.csr"
        run(*request.split())
        sign = f"x509 -req -days 2 -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial"
        run(*sign.split(), "-extfile", "names", "-out", f"{name}.crt")
    run(*["rsa", "-aes256", "-passout", "pass:opener", "-in", "client.key", "-out", "locked.key"])
    try:
        with postgres_of(17) as server:
            data = server.directory / "data"
            for name in ("ca.crt", "server.crt", "server.key"):
                shutil.copy(folder / name, data / name)
                shutil.chown(data / name, data.stat().st_uid)
                (data / name).chmod(0o600)
            with (data / "postgresql.auto.conf").open("a") as settings:
                settings.write("ssl = on\nssl_ca_file = 'ca.crt'\n")
            literal = PASSWORD.replace("'", "''")
            (data / "pg_hba.conf").write_text(
                "local all all trust\nhost all postgres 127.0.0.1/32 trust\n"
                "hostssl all app 127.0.0.1/32 scram-sha-256\n"
                "hostssl all certified 127.0.0.1/32 cert\n"
            )
            psql = f"create role app login password '{literal}'; create role certified login"
            server.stop()
            server.start()
            _execute(f"postgresql://postgres@127.0.0.1:{server.port}/postgres", psql)
            yield Tls(server.port, folder)
    except VersionMissing as missing:
        skip_without(missing)


def _execute(dsn: str, sql: str) -> None:
    import asyncio  # noqa: PLC0415 (a fixture of a module has no loop)

    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(run())


async def value(dsn: str | None, sql: str = "select current_user") -> str:
    """What the server says in a session that the DSN opens."""
    connection = await connect(ConnectionSettings(dsn=dsn))
    try:
        return str(await connection.fetchval(sql))
    finally:
        await connection.close()


ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
VERSION = "select version from pg_stat_ssl where pid = pg_backend_pid()"


def test_every_honoured_parameter_is_tried():
    assert {each.name for each in HONOURED} == TRIED


@pytest.mark.parametrize("parameter", REFUSED, ids=named)
def test_what_cannot_be_honoured_is_refused_by_name_and_its_value_not_shown(parameter):
    with pytest.raises(ConfigurationError) as refusal:
        given_parameters(f"postgresql://h/d?{parameter.name}=s3cret", {})

    assert str(refusal.value).startswith(f"{parameter.name} in the target's DSN cannot be honoured")
    assert parameter.why in str(refusal.value)
    assert "s3cret" not in f"{refusal.value} {refusal.value.remedy}"
    if parameter.variable is not None:
        with pytest.raises(ConfigurationError, match=f"^{parameter.variable} cannot be honoured"):
            given_parameters("postgresql://h/d", {parameter.variable: "s3cret"})
    for harmless in parameter.harmless:
        assert given_parameters(f"postgresql://h/d?{parameter.name}={harmless}", {})


@pytest.mark.parametrize("parameter", UNUSED, ids=named)
async def test_what_is_not_used_hinders_nobody(
    parameter, database: str, monkeypatch: pytest.MonkeyPatch
):
    if parameter.variable is not None:
        monkeypatch.setenv(parameter.variable, "1")

    assert await value(f"{database}?{parameter.name}=1") == "postgres"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("sslmodus", "did you mean sslmode?"),
        ("pgbouncer", "pooler: transaction"),
        ("schema", "named with its schema"),
        ("connection_limit", "pool_size"),
        ("statement_timeout", "options=-c%20name%3Dvalue"),
        ("search_path", "options="),
    ],
)
def test_an_unknown_parameter_is_named_with_what_to_do(name: str, remedy: str):
    with pytest.raises(ConfigurationError, match=f"'{name}', which is none") as refusal:
        resolve(f"postgresql://me@h/d?{name}=hunter2", {})

    assert remedy in str(refusal.value.remedy)
    assert "hunter2" not in f"{refusal.value} {refusal.value.remedy}"


PASTED = {
    "Neon": "postgresql://me:pw@ep-x-pooler.eu.aws.neon.tech/db?sslmode=require"
    "&channel_binding=require",
    "Neon's endpoint": "postgres://me:pw@h.neon.tech/db?options=endpoint%3Dep-x&sslmode=require",
    "Supabase": "postgresql://postgres.ref:pw@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
    "RDS": "postgresql://me:pw@db.x.eu-west-1.rds.amazonaws.com:5432/db?sslmode=require"
    "&connect_timeout=10&keepalives=1&keepalives_idle=30&target_session_attrs=read-write",
    "Heroku": "postgres://u:pw@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d0",
    "Heroku in Node": "postgres://u:pw@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d0?ssl=true",
    "Azure": "postgresql://me%40server:pw@server.postgres.database.azure.com:5432/postgres"
    "?sslmode=require&gssencmode=disable",
    "CockroachDB": "postgresql://me:pw@x.aws-eu-west-1.cockroachlabs.cloud:26257/defaultdb"
    "?sslmode=require&options=--cluster%3Dx-123&application_name=%24+cockroach",
    "Crunchy": "postgres://application:pw@p.x.db.postgresbridge.com:5432/postgres?sslmode=require",
}


@pytest.mark.parametrize("dsn", PASTED.values(), ids=PASTED)
def test_what_a_console_shows_can_be_pasted(dsn: str):
    address = resolve(dsn, {})

    assert not address.local
    assert address.password == "pw"
    assert tls_arguments(address, encrypted=False)


async def test_a_password_is_taken_as_it_is_from_wherever_it_comes(
    tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    bare = f"postgresql://app@localhost:{tls.port}/postgres?sslmode=require"
    in_query = f"{bare}&{urlencode({'password': PASSWORD}, quote_via=quote)}"
    services = tmp_path / "services"
    services.write_text(
        f"[app]\nhost=localhost\nport={tls.port}\nuser=app\ndbname=postgres\n"
        f"sslmode=require\npassword={PASSWORD}\n# a comment\n"
    )
    passwords = tmp_path / "passwords"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passwords.write_text(f"localhost:{tls.port}:*:app:{escaped}\n")
    passwords.chmod(0o600)

    assert await value(tls.dsn(sslmode="require")) == "app"
    assert await value(in_query) == "app"
    assert await value(f"{bare}&passfile={passwords}") == "app"
    assert await value(f"postgresql://?service=app&servicefile={services}") == "app"
    with monkeypatch.context() as environment:
        environment.setenv("PGPASSWORD", PASSWORD)
        assert await value(bare) == "app"
    with monkeypatch.context() as environment:
        environment.setenv("PGPASSFILE", str(passwords))
        assert await value(bare) == "app"
    with monkeypatch.context() as environment:
        environment.setenv("PGSERVICE", "app")
        environment.setenv("PGSERVICEFILE", str(services))
        assert await value(None) == "app"
    with pytest.raises(ConfigurationError, match="the password is wrong"):
        await value(f"{bare}&password=other")


def test_a_line_of_the_password_file_is_for_who_it_names(tmp_path: Path):
    file = tmp_path / "passwords"
    file.write_text(
        "# a comment\n\nbroken\n"
        "h:5432:other:me:wrong\nh:5433:d:me:wrong\nh:5432:d:you:wrong\n"
        "h\\:2:5432:d:me:wrong\nh:*:d:me:a\\:b\\\\c:d \n*:*:*:*:last\n"
    )
    file.chmod(0o600)

    def found(places: str) -> str | None:
        return password_for(resolve(f"postgresql://me@{places}/d?passfile={file}", {}))

    assert found("h") == "a:b\\c:d "
    assert found("other") == "last"
    assert found("%2Frun%2Fpostgresql") == "last"
    assert found("nowhere,h") == "last"
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="can be read by others"):
        found("h")
    file.unlink()
    assert found("h") is None


async def test_host_port_role_and_database_may_stand_in_the_query_or_the_environment(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
):
    where = {"host": "localhost", "port": str(tls.port), "user": "postgres", "dbname": "postgres"}
    assert await value(f"postgresql://?{urlencode(where)}") == "postgres"
    assert (
        await value(
            f"postgresql://postgres@nowhere.invalid:{tls.port}/postgres?hostaddr="
            "127.0.0.1&sslmode=disable"
        )
        == "postgres"
    )
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    monkeypatch.setenv("PGPORT", str(tls.port))
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGDATABASE", "postgres")
    assert await value(None) == "postgres"
    with pytest.raises(ConfigurationError, match="hostaddr"):
        resolve("postgresql://h/d?sslmode=verify-full&sslrootcert=system", {"PGHOSTADDR": "::1"})


async def test_options_reach_the_session_but_for_what_the_process_pins(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    options = quote("-c work_mem=5MB -c timezone=Asia/Kolkata -c lock_timeout=1h")
    assert await value(f"{database}?options={options}", "show work_mem") == "5MB"
    assert await value(f"{database}?options={options}", "show timezone") == "UTC"
    assert await value(f"{database}?options={options}", "show lock_timeout") == "5s"
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=6MB")
    assert await value(database, "show work_mem") == "6MB"
    pooled = await connect(ConnectionSettings(dsn=database, pooler="transaction"))
    assert await pooled.fetchval("show work_mem") == "6MB"
    await pooled.close()


async def test_connect_timeout_wins_over_the_setting():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        dsn = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout="

        settings = ConnectionSettings(dsn=f"{dsn}1", connect_timeout_seconds=TEST_SECONDS)
        with pytest.raises(SinkUnavailable, match="did not answer in 2 s"):
            await connect(settings)
    assert resolve(f"{dsn}0", {}).connect_timeout_seconds is None
    assert resolve("postgresql://h", {"PGCONNECT_TIMEOUT": "7"}).connect_timeout_seconds == 7
    with pytest.raises(ConfigurationError, match="connect_timeout"):
        resolve(f"{dsn}soon", {})


async def test_target_session_attrs_leads_to_servers_that_can_be_written_to(database: str):
    assert await value(f"{database}?target_session_attrs=primary") == "postgres"
    read_only = quote("-c default_transaction_read_only=on")
    with pytest.raises(SinkUnavailable, match="no server accepts writes"):
        await value(f"{database}?target_session_attrs=read-write&options={read_only}")
    for other in ("standby", "read-only", "prefer-standby"):
        with pytest.raises(ConfigurationError, match="cannot be written to"):
            resolve(f"{database}?target_session_attrs={other}", {})


async def test_tls_is_used_as_sslmode_ssl_and_sslnegotiation_say(tls: Tls):
    for user, parameters, encrypted in (
        ("postgres", {"sslmode": "disable"}, "False"),
        ("postgres", {"sslmode": "prefer"}, "True"),
        ("app", {"sslmode": "require"}, "True"),
        ("app", {"ssl": "true"}, "True"),
        ("app", {"sslmode": "require", "sslnegotiation": "direct"}, "True"),
        ("app", {"sslmode": "verify-full", "sslrootcert": tls.file("ca.crt")}, "True"),
        ("app", {"sslmode": "require", "sslrootcert": ""}, "True"),
    ):
        assert await value(tls.dsn(user, **parameters), ENCRYPTED) == encrypted, parameters


async def test_versions_of_tls_are_those_that_are_asked_for(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
):
    old = {"ssl_max_protocol_version": "TLSv1.2"}
    new = {"ssl_min_protocol_version": "TLSv1.3"}
    monkeypatch.setenv("SSL_CERT_FILE", tls.file("ca.crt"))
    for more in ({"sslmode": "require"}, {"sslrootcert": "system"}):
        assert await value(tls.dsn(**more, **old), VERSION) == "TLSv1.2"
        assert await value(tls.dsn(**more, **new), VERSION) == "TLSv1.3"
    with pytest.raises(ConfigurationError):
        await value(tls.dsn(sslmode="require", ssl_min_protocol_version="SSLv2"))
    with pytest.raises(ConfigurationError, match="ssl_min_protocol_version"):
        await value(tls.dsn(sslrootcert="system", ssl_min_protocol_version="SSLv2"))


@pytest.mark.parametrize("asked", [{"sslrootcert": "system"}, {"channel_binding": "require"}])
async def test_authorities_of_the_machine_verify_a_server_by_its_name(
    tls: Tls, asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    if "channel_binding" in asked:
        asked = {**asked, "sslmode": "require"}
    monkeypatch.setenv("SSL_CERT_FILE", tls.file("ca.crt"))
    assert await value(tls.dsn(**asked), ENCRYPTED) == "True"
    assert await value(tls.dsn(sslnegotiation="direct", **asked), ENCRYPTED) == "True"
    with pytest.raises(ConfigurationError, match="TLS failed"):
        await value(tls.dsn(host="127.0.0.1", **asked))
    monkeypatch.setenv("SSL_CERT_FILE", tls.file("client.crt"))
    with pytest.raises(ConfigurationError, match="TLS failed") as failure:
        await value(tls.dsn(**asked))
    assert "sslrootcert" in str(failure.value.remedy)


async def test_channel_binding_takes_the_authority_that_is_named_and_asks_for_nothing_else(
    tls: Tls,
):
    named = tls.dsn(channel_binding="require", sslrootcert=tls.file("ca.crt"))
    assert await value(named, ENCRYPTED) == "True"
    assert resolve(tls.dsn(channel_binding="prefer"), {}).sslmode is None
    assert resolve(tls.dsn(), {"PGCHANNELBINDING": "require"}).sslmode == "verify-full"


def test_the_machine_s_authorities_are_never_trusted_without_the_name():
    with pytest.raises(ConfigurationError, match="does not go with sslmode=require"):
        resolve("postgresql://h/d?sslmode=require&sslrootcert=system", {})


async def test_a_client_shows_its_certificate(tls: Tls, monkeypatch: pytest.MonkeyPatch):
    files = {"sslcert": tls.file("client.crt"), "sslkey": tls.file("client.key")}
    locked = {**files, "sslkey": tls.file("locked.key"), "sslpassword": "opener"}
    monkeypatch.setenv("SSL_CERT_FILE", tls.file("ca.crt"))
    for more in ({"sslmode": "require"}, {"sslrootcert": "system"}):
        assert await value(tls.dsn("certified", **more, **files)) == "certified"
        assert await value(tls.dsn("certified", **more, **locked)) == "certified"
    monkeypatch.setenv("PGSSLCERT", files["sslcert"])
    monkeypatch.setenv("PGSSLKEY", files["sslkey"])
    assert await value(tls.dsn("certified", sslmode="require")) == "certified"


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
async def test_a_file_that_is_missing_is_named_before_anybody_is_called(name: str):
    dsn = f"postgresql://me@nowhere.invalid/d?sslmode=require&{name}=/nowhere/file.pem"

    with pytest.raises(ConfigurationError) as failure:
        await connect(ConnectionSettings(dsn=dsn))

    message = re.escape(f"{name} of target.dsn (or PG{name.upper()}) cannot be read")
    assert re.search(f"{message}: /nowhere/file.pem: No such file", str(failure.value))
    assert "mount the file" in str(failure.value.remedy)


async def test_verification_without_an_authority_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(
        ConfigurationError, match="sslmode=verify-full needs the authority"
    ) as fault:
        await connect(
            ConnectionSettings(dsn="postgresql://me@nowhere.invalid/d?sslmode=verify-full")
        )

    assert "sslrootcert=system" in str(fault.value.remedy)


async def test_a_revoked_certificate_is_refused_where_the_list_is_there(tls: Tls):
    """A list that names no certificate of the authority is none: nobody is let in on its word."""
    listed = tls.dsn(
        sslmode="verify-full", sslrootcert=tls.file("ca.crt"), sslcrl=tls.file("ca.crt")
    )

    with pytest.raises(ConfigurationError, match="TLS failed"):
        await value(listed)


def test_kerberos_is_told_to_the_driver():
    address = resolve("postgresql://h/d?krbsrvname=postgres&gsslib=gssapi&sslmode=require", {})
    by_the_machine = resolve("postgresql://h/d?krbsrvname=pg&sslrootcert=system", {})

    assert "krbsrvname=postgres&gsslib=gssapi" in tls_arguments(address, encrypted=False)["dsn"]
    assert tls_arguments(by_the_machine, encrypted=False)["krbsrvname"] == "pg"


def test_a_service_that_names_an_unknown_parameter_is_refused(tmp_path: Path):
    file = tmp_path / "services"
    file.write_text("[app]\nhost=h\nsslmodus=require\n")

    with pytest.raises(ConfigurationError, match=r"the service 'app' in .* 'sslmodus', which is"):
        given_parameters(None, {"PGSERVICE": "app", "PGSERVICEFILE": str(file)})


def test_the_page_tells_of_every_parameter():
    rows = "\n".join(
        f"| `{each.name}` | {f'`{each.variable}`' if each.variable else ''} | {each.treatment}"
        f"{f' but {_words(each.harmless)}' if each.harmless else ''} | {each.why} |"
        for each in PARAMETERS
    )
    page = (ROOT / "docs/operations/postgresql.md").read_text()

    assert f"\n{rows}\n" in page, rows


def _words(values: tuple[str, ...]) -> str:
    return ", ".join(f"`{each}`" for each in values)
