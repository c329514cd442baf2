"""A PgBouncer in transaction mode that hands every transaction to another session."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from replicator.demo.child_process import Leashed
from replicator.demo.embedded_servers import NOBODY, await_ready
from tests.support.bounds import scaled
from tests.support.missing_part import skip_without
from tests.support.ports import kept_port

CONFIGURATION = """
[databases]
* = host={host} port={server_port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
; whoever relies on meeting the same session again meets another one
server_round_robin = 1
ignore_startup_parameters = {ignored}
query_timeout = {query_timeout}
"""


@contextmanager
def pgbouncer(
    dsn: str, *, sessions: int, ignored: str = "", query_timeout: float = 0
) -> Iterator[str]:
    """The DSN of the same database behind a pooler that keeps this many sessions of it.

    `ignored` are parameters of a session that it leaves out without a word; `query_timeout` is in
    seconds, 0 is none. The test is skipped where PgBouncer is not installed, except in CI.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        skip_without("pgbouncer is not on the PATH; Debian's package has its name")
    server = urlsplit(dsn)
    # a place that an unprivileged user can reach
    with tempfile.TemporaryDirectory(prefix="replicator-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        file = directory / "pgbouncer.ini"
        port = kept_port()
        file.write_text(
            CONFIGURATION.format(
                host=server.hostname,
                server_port=server.port,
                user=server.username,
                port=port,
                sessions=sessions,
                ignored=ignored,
                query_timeout=query_timeout,
            )
        )
        file.chmod(0o644)  # whatever the umask says
        log = directory / "pgbouncer.log"
        pooler = Leashed(
            [program, file],
            log=log,
            environment={"PATH": os.environ["PATH"], "TZ": "UTC"},
            user=NOBODY if os.geteuid() == 0 else None,  # it refuses to run as root
            remove=directory,
        )
        try:
            await_ready("PgBouncer", pooler, lambda: _listens(port), log=log)
            yield urlunsplit(server._replace(netloc=f"{server.username}@127.0.0.1:{port}"))
        finally:
            pooler.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=scaled(5)).close()
    except OSError:
        return False
    return True
