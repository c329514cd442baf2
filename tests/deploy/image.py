"""Builds the Dockerfile without a daemon or a registry, and runs what came out of it.

The base image is made here: Debian by debootstrap, Python from the interpreter of the tests.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy.tools import ROOT, run

BASE = "docker.io/library/python:3.12-slim"
NAME = "localhost/replicator:test"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
SECONDS_MAX = 900.0
FINISH = """
set -e
ldconfig
cd /usr/local/bin
ln -sf python3 python
python -m ensurepip
"""
ENTER = """
set -e
mount --bind {root} {root}
mount --bind {configuration} {root}/etc/replicator
mount -t proc proc {root}/proc
mount --bind /dev {root}/dev
mount -o remount,bind,ro {root}
mount -o remount,bind,ro {root}/etc/replicator
cd {root}
exec chroot --userspec={user} {root} /usr/bin/env -i -C {directory} {words}
"""


class ImageToolMissing(Exception):
    """An image cannot be built here; the message says why."""


class Image:
    """The image, built, with its files laid out in a directory."""

    def __init__(self, scratch: Path) -> None:
        """Build it; ImageToolMissing where that cannot be done."""
        _require()
        self._scratch = scratch
        self._buildah(
            "build", "--pull-never", "--format=docker", "--target=daemon", f"--tag={NAME}", ROOT
        )
        container = self._buildah("from", "--pull-never", NAME).strip()
        self.root = Path(self._buildah("mount", container).strip())

    @classmethod
    def built(cls, scratch: Path) -> "Image":
        """Make the base image, then build on it."""
        _require()
        _make_base(scratch)
        return cls(scratch)

    @property
    def configuration(self) -> dict[str, Any]:
        """What the image says of itself: user, entry point, labels, health check."""
        found = json.loads(self._buildah("inspect", "--type=image", NAME))
        configuration: dict[str, Any] = found["Docker"]["config"]
        return configuration

    @property
    def size_bytes(self) -> int:
        """Of what it adds to its base."""
        return sum(
            path.lstat().st_size
            for path in (self.root / "app").rglob("*")
            if path.is_file() and not path.is_symlink()
        )

    def words(
        self, configuration: Path, *program: str, environment: Mapping[str, str]
    ) -> list[str]:
        """The command that runs a program in it: its user, a read-only root, our network."""
        told = self.configuration
        variables = [*told["Env"], *(f"{name}={value}" for name, value in environment.items())]
        script = ENTER.format(
            root=self.root,
            configuration=configuration,
            user=told["User"],
            directory=told["WorkingDir"],
            words=" ".join(map(_quoted, [*variables, *program])),
        )
        return ["unshare", "--mount", "sh", "-c", script]

    def close(self) -> None:
        """Let its files be removed: some drivers of storage mount them."""
        self._buildah("umount", "--all")
        self._buildah("rm", "--all")
        subprocess.run(
            ["umount", "--recursive", "--quiet", self._scratch / "storage" / "overlay"],
            stderr=subprocess.DEVNULL,
            check=False,
        )

    def _buildah(self, *words: str | Path) -> str:
        return buildah(self._scratch, *words)


def buildah(scratch: Path, *words: str | Path) -> str:
    """What buildah prints, with a storage of its own."""
    ended = subprocess.run(
        ["buildah", f"--root={scratch}/storage", f"--runroot={scratch}/run", *map(str, words)],
        env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout


def _require() -> None:
    if os.geteuid() != 0:
        raise ImageToolMissing("only root may build an image without a daemon")
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing:
        raise ImageToolMissing(f"not on the PATH: {', '.join(missing)}")
    if sys.base_prefix.startswith("/usr"):
        raise ImageToolMissing("the tests' Python is a part of this system, and cannot be copied")


def _make_base(scratch: Path) -> None:
    system = scratch / "system"
    run("debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", system,
        seconds=SECONDS_MAX)  # fmt: skip
    python = scratch / "python.tar"
    with tarfile.open(python, "w") as archive:
        archive.add(sys.base_prefix, arcname=".", filter=_needed)
    container = buildah(scratch, "from", "scratch").strip()
    buildah(scratch, "copy", container, system, "/")
    buildah(scratch, "add", container, python, "/usr/local")
    # packages are fetched as this machine fetches them
    buildah(scratch, "copy", container, AUTHORITIES, AUTHORITIES)
    for name in ("PIP_CERT", "SSL_CERT_FILE"):
        buildah(scratch, "config", f"--env={name}={AUTHORITIES}", container)
    buildah(scratch, "run", container, "--", "sh", "-c", FINISH)
    buildah(scratch, "commit", "--quiet", container, BASE)
    shutil.rmtree(system)
    python.unlink()


def _needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    unneeded = {"__pycache__", "site-packages", "test", "idlelib", "tkinter", "share"}
    return None if unneeded & set(Path(member.name).parts) else member


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
