"""How connections are opened: where to, as whom, within which limits, and what failures say."""

from pathlib import Path

import asyncpg
import pytest

from replicator.demo.embedded_servers import EmbeddedPostgres
from replicator.errors import ConfigurationError, SinkUnavailable
from replicator.postgres.connection.connect import ConnectionSettings, connect
from replicator.postgres.connection.database import create_pool
from replicator.postgres.connection.server_addresses import resolve
from tests.support.bounds import USUAL_SECONDS
from tests.support.nobody import PORT_OF_NOBODY

PASSWORD = "s3cr:t/@"


@pytest.fixture
async def guarded(own_postgres: EmbeddedPostgres) -> str:
    """A server where the role `app` must give its password; the DSN does not."""
    admin = await asyncpg.connect(own_postgres.dsn)
    await admin.execute(f"create role app login password '{PASSWORD}'")
    hba = own_postgres.directory / "data" / "pg_hba.conf"
    hba.write_text(
        "host all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n"
    )
    await admin.fetchval("select pg_reload_conf()")
    await admin.close()
    own_postgres.stop()
    own_postgres.start()
    return f"postgresql://app@127.0.0.1:{own_postgres.port}/postgres"


async def test_a_session_is_bounded_on_the_server(database: str):
    statement_seconds, lock_seconds = USUAL_SECONDS * 1.001, USUAL_SECONDS * 1.0001
    settings = ConnectionSettings(
        dsn=database,
        statement_timeout_seconds=statement_seconds,
        lock_timeout_seconds=lock_seconds,
        application_name="worker-1",
    )

    connection = await connect(settings)
    shown = {
        name: await connection.fetchval("select setting from pg_settings where name = $1", name)
        for name in (
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
            "application_name",
            "TimeZone",
        )
    }
    await connection.close()

    assert shown == {
        "statement_timeout": f"{int(statement_seconds * 1000)}",
        "lock_timeout": f"{int(lock_seconds * 1000)}",
        "idle_in_transaction_session_timeout": "10000",
        "application_name": "worker-1",
        "TimeZone": "UTC",
    }


async def test_behind_a_pooler_nothing_is_set_for_the_session(database: str):
    connection = await connect(ConnectionSettings(dsn=database, pooler="transaction"))

    shown = await connection.fetchval("show statement_timeout")
    prepared = await connection.fetchval("select count(*) from pg_prepared_statements")
    await connection.close()

    assert shown == "0"
    assert prepared == 0


async def test_a_connection_goes_back_to_the_pool_without_a_word_to_the_server(database: str):
    pool = await create_pool(ConnectionSettings(dsn=database), 1)
    watcher = await asyncpg.connect(database)

    async with pool.acquire() as connection:
        pid = await connection.fetchval("select pg_backend_pid()")
    last = await watcher.fetchval("select query from pg_stat_activity where pid = $1", pid)
    async with pool.acquire() as connection:
        again = await connection.fetchval("select pg_backend_pid()")
    await pool.close()
    await watcher.close()

    assert last == "select pg_backend_pid()"
    assert again == pid


async def test_the_password_file_is_read_on_every_connect(guarded: str, tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("an old one\n")
    settings = ConnectionSettings(dsn=guarded, password_file=file)

    with pytest.raises(ConfigurationError, match="password is wrong"):
        await connect(settings)
    file.write_text(PASSWORD + "\n")
    connection = await connect(settings)

    assert await connection.fetchval("select current_user") == "app"
    await connection.close()


async def test_a_password_may_come_from_elsewhere(guarded: str):
    async def fetch() -> str:
        return PASSWORD

    connection = await connect(ConnectionSettings(dsn=guarded, password=fetch))

    assert await connection.fetchval("select current_user") == "app"
    await connection.close()


async def test_the_variables_of_libpq_say_what_the_dsn_does_not(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    address = resolve(database, {})
    monkeypatch.setenv("PGHOST", address.hosts[0])
    monkeypatch.setenv("PGPORT", str(address.ports[0]))
    monkeypatch.setenv("PGUSER", address.user)
    monkeypatch.setenv("PGDATABASE", address.database)

    connection = await connect(ConnectionSettings())

    assert await connection.fetchval("select current_database()") == address.database
    await connection.close()


async def test_a_service_file_is_read(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    address = resolve(database, {})
    file = tmp_path / "services"
    file.write_text(
        f"[app]\nhost={address.hosts[0]}\nport={address.ports[0]}\n"
        f"user={address.user}\ndbname={address.database}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("PGSERVICE", "app")

    connection = await connect(ConnectionSettings())

    assert await connection.fetchval("select current_database()") == address.database
    await connection.close()


async def test_a_wrong_password_is_a_mistake_and_shows_no_password(guarded: str):
    wrong = guarded.replace("app@", "app:hunter2@")

    with pytest.raises(ConfigurationError) as failure:
        await connect(ConnectionSettings(dsn=wrong))

    assert "hunter2" not in f"{failure.value} {failure.value.remedy}"
    assert "the password is wrong" in str(failure.value)


@pytest.mark.parametrize(
    ("part", "replacement", "message"),
    [
        ("/test_", "/nowhere_", "database does not exist"),
        ("postgres@", "nobody@", "does not let the role in"),
    ],
)
async def test_a_wrong_name_is_a_mistake(database: str, part: str, replacement: str, message: str):
    with pytest.raises(ConfigurationError, match=message):
        await connect(ConnectionSettings(dsn=database.replace(part, replacement)))


async def test_a_server_that_is_away_may_come_back():
    dsn = f"postgresql://app:hunter2@127.0.0.1:{PORT_OF_NOBODY}/app"

    with pytest.raises(SinkUnavailable, match="cannot be reached") as failure:
        await connect(ConnectionSettings(dsn=dsn))

    assert "hunter2" not in str(failure.value)


async def test_a_host_elsewhere_is_not_spoken_to_in_the_clear(database: str):
    elsewhere = database.replace("127.0.0.1", "127.1")  # the same server, but nobody can tell

    with pytest.raises(ConfigurationError, match="in the clear") as failure:
        await connect(ConnectionSettings(dsn=elsewhere))
    assert "sslmode=disable" in str(failure.value.remedy)

    connection = await connect(ConnectionSettings(dsn=elsewhere + "?sslmode=disable"))
    await connection.close()


async def test_tls_that_was_asked_for_is_not_given_up(database: str):
    with pytest.raises(ConfigurationError, match="offers no TLS"):
        await connect(ConnectionSettings(dsn=database + "?sslmode=require"))


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://app:hun/ter2@host/app",
        "postgresql://app:hun@ter2@host/app",
        "postgresql://app:hun#ter2@host/app",
        "postgresql://app:hun?ter2@host/app",
        "postgresql://app:1234/ter2@host/app",
        "postgresql://app:hunter2@[host/app",
        "postgresql://app:hunter2@host:port/app",
        "host=host user=app password=hunter2",
        "postgresql://app:hunter2@host/app?sslmode=sometimes",
        "postgresql://app:hunter2@h1:1,h2:2/app?port=1,2,3",
    ],
)
async def test_a_dsn_that_cannot_be_read_is_refused_without_showing_it(dsn: str):
    with pytest.raises(ConfigurationError) as failure:
        await connect(ConnectionSettings(dsn=dsn))

    text = f"{failure.value} {failure.value.remedy}"
    assert not any(part in text for part in ("hun", "ter2", "1234"))


def test_an_address_is_told_without_its_password():
    address = resolve("postgresql://me:secret@h1:6000,[::1]/db?sslmode=require", {"PGPORT": "7000"})

    assert str(address) == "postgresql://me@h1:6000,[::1]:7000/db"
    assert address.sslmode == "require"
    assert not address.local


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ("[::1],h2:6000", [("::1", 5432), ("h2", 6000)]),
        ("h1,[fe80::1%25eth0]:6000", [("h1", 5432), ("fe80::1%eth0", 6000)]),
        ("[::1]", [("::1", 5432)]),
        ("a[b:c]@h1,[::1],[::2]:1", [("h1", 5432), ("::1", 5432), ("::2", 1)]),
    ],
)
def test_addresses_of_ipv6_stand_in_brackets(places: str, found: list[tuple[str, int]]):
    address = resolve(f"postgresql://{places}/db", {"PGUSER": "me"})

    assert list(zip(address.hosts, address.ports, strict=True)) == found


@pytest.mark.parametrize("host", ["[::1", "h1,[::1", "[::1]5432", "[::1]x:1"])
def test_brackets_that_do_not_fit_are_refused(host: str):
    with pytest.raises(ConfigurationError, match="brackets"):
        resolve(f"postgresql://me@{host}/db", {})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "%2Frun%2Fpostgresql", "[::1]"])
def test_what_stays_on_this_machine_is_known(host: str):
    assert resolve(f"postgresql://me@{host}/db", {}).local
