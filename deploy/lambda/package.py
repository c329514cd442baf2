"""Builds the zip of the Lambda function: the same bytes everywhere, nothing it does not load."""

import argparse
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements" / "lambda.txt"
PYTHON = "3.12"
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
GLIBC = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
"""What the managed runtime of this Python is not older than."""
MEGABYTES_MAX = 20
LONG_AGO = (1980, 1, 1, 0, 0, 0)
LEFT_OUT = ("cli", "demo", "coordination", "__main__.py")
"""Parts of ours that a function never loads."""
USELESS_SUFFIXES = (".c", ".h", ".pxd", ".pxi", ".pyi", ".pyx")
USELESS_DIRECTORIES = {"__pycache__", "bin", "tests", "test"}


def main() -> None:
    """Build a zip for each architecture and say how large it is."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--config", type=Path, help="a configuration to put into the package")
    words.add_argument("--architecture", choices=MACHINES, action="append")
    words.add_argument("--output", type=Path, default=ROOT / "build" / "lambda")
    given = words.parse_args()
    for architecture in given.architecture or MACHINES:
        archive = build(architecture, given.output, given.config)
        megabytes = archive.stat().st_size / 1e6
        sys.stdout.write(f"{archive}: {megabytes:.1f} MB\n")
        if megabytes > MEGABYTES_MAX:
            sys.exit(f"{archive} is larger than {MEGABYTES_MAX} MB")


def build(architecture: str, output: Path, config: Path | None) -> Path:
    """The zip of one architecture."""
    folder = output / architecture
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(MACHINES[architecture], folder)
    for source, name in ours():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
    if config is not None:
        shutil.copyfile(config, folder / "replicator.yaml")
    return zipped(folder, output / f"replicator-{architecture}.zip")


def install(machine: str, folder: Path) -> None:
    """The packages as they are for another machine and Python than this one."""
    platforms = [word for glibc in GLIBC for word in ("--platform", f"{glibc}_{machine}")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(  # noqa: S603 (our own Python)
        [
            *pip,
            *("--target", str(folder)),
            *(*platforms, "--python-version", PYTHON, "--implementation", "cp"),
            *("--only-binary", ":all:", "--require-hashes", "--no-deps", "--no-compile"),
            *("-r", str(REQUIREMENTS)),
        ],
        check=True,
    )


def ours() -> Iterator[tuple[Path, Path]]:
    """Our own files, with their names in the package."""
    package = ROOT / "replicator"
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] not in LEFT_OUT:
            yield path, path.relative_to(ROOT)
    migrations = ROOT / "migrations"
    for path in sorted((migrations / "versions").glob("[0-9]*.py")):  # which revision is needed
        yield path, Path("replicator/_migrations") / path.relative_to(migrations)


def zipped(folder: Path, archive: Path) -> Path:
    """A zip that depends on names and contents alone."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and useful(name):
                entry = zipfile.ZipInfo(str(name), LONG_AGO)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o100644 << 16
                target.writestr(entry, path.read_bytes())
    return archive


def useful(name: Path) -> bool:
    """Whether a file is loaded, or tells what the package holds."""
    if USELESS_DIRECTORIES & set(name.parts) or name.suffix in USELESS_SUFFIXES:
        return False
    if name.parts[0].endswith(".dist-info"):
        return name.name in ("METADATA", "entry_points.txt") or "licenses" in name.parts
    return not name.name.startswith(".")


if __name__ == "__main__":
    main()
