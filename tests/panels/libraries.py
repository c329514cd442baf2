"""Grafana's libraries, fetched once with npm as their lock says, and our page bundled with them."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.bounds import USUAL_SECONDS, scaled
from tests.support.warm_start import ROOT

HOME = ROOT / ".emulators/panels"
ICONS = HOME / "node_modules/@grafana/ui/dist/public"
PAGE = Path(__file__).with_name("page")
FETCH_SECONDS = scaled(240)
FLAGS = (
    "--bundle",
    "--minify",
    "--jsx=automatic",
    '--define:process.env.NODE_ENV="production"',
    "--loader:.woff=dataurl",
    "--loader:.woff2=dataurl",
    "--loader:.ttf=dataurl",
    "--log-level=warning",
)


def bundle(directory: Path) -> None:
    """Write index.html, page.js and page.css; the test is skipped without npm, except in CI."""
    _fetch_once()
    subprocess.run(
        [HOME / "node_modules/.bin/esbuild", PAGE / "page.jsx", *FLAGS, f"--outdir={directory}"],
        env=os.environ | {"NODE_PATH": str(HOME / "node_modules")},
        check=True,
        timeout=USUAL_SECONDS,
    )
    shutil.copy(PAGE / "index.html", directory)


def _fetch_once() -> None:
    """By the first who asks, while the others wait; anew when the lock is another."""
    HOME.mkdir(parents=True, exist_ok=True)
    lock, fetched = (PAGE / "package-lock.json").read_bytes(), HOME / "fetched.json"
    with (HOME / ".lock").open("w") as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not fetched.exists() or fetched.read_bytes() != lock:
            fetched.unlink(missing_ok=True)
            _fetch()
            fetched.write_bytes(lock)


def _fetch() -> None:
    npm = shutil.which("npm")
    if npm is None:
        assert os.environ.get("CI") != "true", "npm is required in CI"
        pytest.skip("npm is not installed")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PAGE / name, HOME)
    subprocess.run(
        [npm, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=HOME,
        check=True,
        timeout=FETCH_SECONDS,
    )
