"""kinesis-local: a Kinesis of its own, fetched once as an npm package, never committed.

Shards split and merge there, iterators end, sequence numbers are real ones, and retention and the
limit of a record's size can be set.
"""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aioboto3

from replicator.demo.child_process import Leashed
from replicator.demo.embedded_servers import answers, await_ready
from tests.support.endpoints import CONFIG
from tests.support.npm_package import PackageMissing, npm_package
from tests.support.ports import kept_port

PACKAGE = "kinesis-local@0.6.2"
SHA256 = "7f450e244b3c609b640b22ab005c9fdeaeb6e49d72403a3b6ebd9c3270b32cb5"
HOME = Path(__file__).parents[2] / ".emulators" / "kinesis-local"
ACCOUNT = "000000000000"
REGION = "us-east-1"


class KinesisLocalMissing(Exception):
    """It cannot run here; the message says what it lacks."""


@contextmanager
def kinesis_local() -> Iterator[str]:
    """The URL of a running Kinesis with nothing in it."""
    node = shutil.which("node")
    if node is None:
        raise KinesisLocalMissing("kinesis-local needs node on the PATH")
    try:
        package = npm_package(PACKAGE, SHA256, HOME)
    except PackageMissing as missing:
        raise KinesisLocalMissing(f"kinesis-local cannot be had: {missing}") from missing
    with TemporaryDirectory(prefix="replicator-") as directory:
        log = Path(directory) / "kinesis-local.log"
        url = f"http://127.0.0.1:{(port := kept_port())}"
        server = Leashed(
            [node, f"--require={_loopback(directory, package)}", package / "main.js"],
            log=log,
            environment={
                "PATH": os.environ["PATH"],
                "HOME": directory,
                "KINESIS_MOCK_PLAIN_PORT": str(port),
                "KINESIS_MOCK_TLS_PORT": str(kept_port()),
                "AWS_ACCOUNT_ID": ACCOUNT,
                "AWS_REGION": REGION,
                "LOG_LEVEL": "ERROR",
                "SHARD_LIMIT": "100000",
                **FAST,
            },
            remove=Path(directory),
        )
        try:
            await_ready("kinesis-local", server, lambda: answers(url), log=log)
            yield url
        finally:
            server.close()


FAST = {
    f"{name}_DURATION": "20ms"
    for name in ("CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS")
}
"""Time that a change of a stream takes there."""


def _loopback(directory: str, package: Path) -> Path:
    """A script that keeps the server from listening on other addresses than the loopback's, in the
    folder of the package, where it reads files.
    """
    script = Path(directory) / "loopback.js"
    script.write_text(
        f"process.chdir({str(package)!r});\n"
        "const net = require('net');\n"
        "const listen = net.Server.prototype.listen;\n"
        "net.Server.prototype.listen = function (where, ...rest) {\n"
        "  const port = typeof where === 'object' ? where.port : where;\n"
        "  const heard = rest.filter((each) => typeof each === 'function');\n"
        "  return listen.call(this, {port, host: '127.0.0.1'}, ...heard);\n"
        "};\n"
    )
    return script


@asynccontextmanager
async def kinesis_client(url: str) -> AsyncIterator[Any]:
    """A client for Kinesis streams."""
    session = aioboto3.Session(region_name=REGION)
    async with session.client("kinesis", endpoint_url=url, config=CONFIG) as client:
        yield client
