"""Builds the Dockerfile without a daemon or a registry, and runs what came out of it.

The base image is made here: Debian by debootstrap, Python from the interpreter of the tests.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.deploy.tools import ROOT, run
from tests.support.bounds import scaled

BASE = "docker.io/library/python:3.12-slim"
Target = Literal["daemon", "lambda"]
PROGRAM: Mapping[Target, str] = {"daemon": "app", "lambda": "var/task"}
"""Where a target has what it adds to its base."""
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
SECONDS_MAX = scaled(900.0)
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
mount --bind {configuration} {root}{place}
mount -t proc proc {root}/proc
mount --bind /dev {root}/dev
mount -o remount,bind,ro {root}
mount -o remount,bind,ro {root}{place}
cd {root}
exec chroot --userspec={user} {root} /usr/bin/env -i -C {directory} {words}
"""


class ImageToolMissing(Exception):
    """An image cannot be built here; the message says why."""


class Image:
    """A target of the Dockerfile, built on the base, with its files laid out in a directory."""

    def __init__(self, scratch: Path, target: Target, *arguments: str) -> None:
        """Build it, with arguments of the build."""
        self._scratch = scratch
        self._target: Target = target
        self._name = f"localhost/replicator-{target}:test"
        self._buildah(
            "build",
            "--pull-never",
            "--format=docker",
            f"--target={target}",
            f"--tag={self._name}",
            *(f"--build-arg={argument}" for argument in arguments),
            ROOT,
        )
        container = self._buildah("from", "--pull-never", self._name).strip()
        self.root = Path(self._buildah("mount", container).strip())

    @property
    def configuration(self) -> dict[str, Any]:
        """What the image says of itself: user, entry point, labels, health check."""
        found = json.loads(self._buildah("inspect", "--type=image", self._name))
        configuration: dict[str, Any] = found["Docker"]["config"]
        return configuration

    @property
    def size_bytes(self) -> int:
        """Of what it adds to its base."""
        return sum(
            path.lstat().st_size
            for path in (self.root / PROGRAM[self._target]).rglob("*")
            if path.is_file() and not path.is_symlink()
        )

    def words(
        self,
        configuration: Path,
        *program: str,
        environment: Mapping[str, str],
        place: str = "/etc/replicator",
    ) -> list[str]:
        """The command that runs a program in it: its user, a read-only root, our network.

        `place` is where it finds the directory with the configuration.
        """
        told = self.configuration
        variables = [*told["Env"], *(f"{name}={value}" for name, value in environment.items())]
        script = ENTER.format(
            root=self.root,
            configuration=configuration,
            place=place,
            user=told["User"],
            directory=told["WorkingDir"],
            words=" ".join(map(_quoted, [*variables, *program])),
        )
        return ["unshare", "--mount", "sh", "-c", script]

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


@contextmanager
def base(scratch: Path) -> Iterator[None]:
    """The base image, while the block runs; ImageToolMissing where none can be made."""
    _require()
    _make_base(scratch)
    try:
        yield
    finally:  # some drivers of storage mount its files
        buildah(scratch, "umount", "--all")
        buildah(scratch, "rm", "--all")
        subprocess.run(
            ["umount", "--recursive", "--quiet", scratch / "storage" / "overlay"],
            stderr=subprocess.DEVNULL,
            check=False,
        )


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
