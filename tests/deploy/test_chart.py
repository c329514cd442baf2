"""What the Helm chart makes of its values, beyond what the validators of Kubernetes see."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from replicator.config.load_settings import load
from replicator.config.settings import Settings
from replicator.engine.worker.worker import DRAIN_SECONDS_MAX, RELEASE_SECONDS_MAX
from replicator.monitoring.metric_families import FAMILIES
from tests.deploy.tools import ROOT, run, tool
from tests.docs.blocks import blocks
from tests.support.bounds import USUAL_SECONDS

CHART = ROOT / "deploy/helm/replicator"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
Manifest = dict[str, Any]
EVERYWHERE = "0.0.0.0"  # noqa: S104 (a pod's own addresses)


def helm() -> str:
    return tool("helm", remedy="run `make validators`, which installs it")


def render(values: Path, *words: str) -> list[Manifest]:
    text = run(helm(), "template", "shop", CHART, "--namespace=data", f"--values={values}", *words)
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


@pytest.fixture(scope="module", params=VALUES, ids=lambda path: path.stem)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pod_of(workload: Manifest) -> Manifest:
    pod: Manifest = workload["spec"]["template"]
    return pod


def env_of(workload: Manifest) -> dict[str, str]:
    [container] = pod_of(workload)["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in container["env"]}


def hook_weight(manifest: Manifest) -> int | None:
    """When a hook runs; None for an object of the release itself."""
    annotations = manifest["metadata"].get("annotations") or {}
    return int(annotations["helm.sh/hook-weight"]) if "helm.sh/hook" in annotations else None


def settings_of(manifests: list[Manifest], workload: Manifest, directory: Path) -> Settings | None:
    """What the process in a pod would read; None where the configuration is somebody else's."""
    name = volume(workload, "config")["configMap"]["name"]
    found = [one for one in of_kind(manifests, "ConfigMap") if one["metadata"]["name"] == name]
    if not found:
        return None
    file = directory / "replicator.yaml"
    file.write_text(found[0]["data"]["replicator.yaml"])
    return load(file, env_of(workload))


def volume(workload: Manifest, name: str) -> Manifest:
    volumes: list[Manifest] = pod_of(workload)["spec"]["volumes"]
    return next(volume for volume in volumes if volume["name"] == name)


def test_the_process_understands_its_configuration_and_listens_where_it_is_asked(
    manifests: list[Manifest], tmp_path: Path
):
    for workload in of_kind(manifests, "Deployment", "Job"):
        settings = settings_of(manifests, workload, tmp_path)
        if settings is None:
            continue
        [container] = pod_of(workload)["spec"]["containers"]

        assert settings.http.host == EVERYWHERE
        for port in container.get("ports", []):
            assert port["containerPort"] == settings.http.port


def test_numbers_arrive_as_they_were_written(tmp_path: Path):
    manifests = render(CHART / "ci/production-values.yaml")

    [deployment] = of_kind(manifests, "Deployment")
    settings = settings_of(manifests, deployment, tmp_path)

    assert settings is not None
    assert settings.snapshot.read_units_per_second == 1_000_000


def test_every_file_that_is_named_is_mounted(manifests: list[Manifest]):
    for workload in of_kind(manifests, "Deployment", "Job"):
        [container] = pod_of(workload)["spec"]["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        files = [
            Path(value)
            for name, value in env_of(workload).items()
            if name.endswith("_FILE") or name == "PGSSLROOTCERT"
        ]

        for file in (*files, Path("/etc/replicator/replicator.yaml")):
            mounted = volume(workload, mounts[str(file.parent)])
            source = mounted.get("secret") or mounted["configMap"]
            if "items" in source:
                assert [item["path"] for item in source["items"]] == [file.name]


def test_only_the_migration_sees_the_owner_of_the_tables():
    manifests = render(CHART / "ci/production-values.yaml")

    [deployment] = of_kind(manifests, "Deployment")
    [job] = of_kind(manifests, "Job")

    assert "replicator-owner" in json.dumps(job)
    assert "replicator-owner" not in json.dumps(deployment)


def test_the_migration_waits_for_nothing_that_comes_after_it(manifests: list[Manifest]):
    """Before the first install there is nothing but hooks."""
    before = {
        (manifest["kind"], manifest["metadata"]["name"])
        for manifest in manifests
        if (hook_weight(manifest) or 0) < 0
    }
    mine = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    for job in of_kind(manifests, "Job"):
        needed = {
            ("ServiceAccount", pod_of(job)["spec"]["serviceAccountName"]),
            ("ConfigMap", volume(job, "config")["configMap"]["name"]),
        }

        assert hook_weight(job) == 0
        assert needed & mine <= before


def test_every_selector_finds_the_pods_it_is_for(manifests: list[Manifest]):
    [deployment] = of_kind(manifests, "Deployment")
    pods = [pod_of(workload) for workload in of_kind(manifests, "Deployment", "Job")]

    def selected(labels: dict[str, str]) -> list[Manifest]:
        return [pod for pod in pods if labels.items() <= pod["metadata"]["labels"].items()]

    for manifest in of_kind(manifests, "Deployment", "PodDisruptionBudget", "PodMonitor"):
        assert selected(manifest["spec"]["selector"]["matchLabels"]) == [pod_of(deployment)]
    chosen = [
        selected(policy["spec"]["podSelector"]["matchLabels"])
        for policy in of_kind(manifests, "NetworkPolicy")
    ]
    assert sorted(chosen, key=str) in ([], sorted(([pod] for pod in pods), key=str))


def test_the_probes_ask_pages_that_exist_and_the_drain_has_time(manifests: list[Manifest]):
    [deployment] = of_kind(manifests, "Deployment")
    spec = pod_of(deployment)["spec"]
    [container] = spec["containers"]

    paths = {probe: container[probe]["httpGet"]["path"] for probe in container if "Probe" in probe}

    assert paths == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert spec["terminationGracePeriodSeconds"] > DRAIN_SECONDS_MAX + RELEASE_SECONDS_MAX + 5
    assert spec["enableServiceLinks"] is False


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--set=replica=3",), "replica"),
        (("--set=autoscaling.minReplicas=0",), "minReplicas"),
        (("--set=config.target.password_file=/secret",), "target"),
        (("--set=terminationGracePeriodSeconds=5",), "terminationGracePeriodSeconds"),
        (("--set=config.tables=null",), "tables"),
        (("--set=image.digest=sha256:1234",), "digest"),
        (("--set=runbookUrl=wiki",), "runbookUrl"),
    ],
)
def test_values_that_would_fail_later_are_refused(words: tuple[str, ...], complaint: str):
    ended = subprocess.run(
        [helm(), "template", "shop", CHART, f"--values={CHART}/ci/minimal-values.yaml", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=USUAL_SECONDS,
    )

    assert ended.returncode != 0
    assert complaint in ended.stderr


def test_the_rules_arrive_as_they_were_tested():
    folder = ROOT / "deploy/prometheus"
    files = {name: folder / f"{name}.yml" for name in ("alerts", "recording")}

    manifests = render(
        CHART / "ci/minimal-values.yaml",
        *(f"--set-file=prometheusRules.{name}={file}" for name, file in files.items()),
    )

    assert [rule["spec"] for rule in of_kind(manifests, "PrometheusRule")] == [
        yaml.safe_load(file.read_text()) for file in files.values()
    ]


def test_alerts_link_to_the_runbook_that_the_values_name():
    alerts = ROOT / "deploy/prometheus/alerts.yml"

    manifests = render(
        CHART / "ci/minimal-values.yaml",
        f"--set-file=prometheusRules.alerts={alerts}",
        "--set=runbookUrl=https://wiki.example.com/runbook/",
    )

    [rules] = of_kind(manifests, "PrometheusRule")
    links = [
        rule["annotations"]["runbook_url"]
        for group in rules["spec"]["groups"]
        for rule in group["rules"]
    ]
    assert links
    assert all(link.startswith("https://wiki.example.com/runbook/#replicator") for link in links)


def test_the_values_of_the_page_can_be_copied(tmp_path: Path):
    page = ROOT / "docs/operations/kubernetes.md"
    [values] = [block.text for block in blocks(page) if block.info == "yaml"]
    file = tmp_path / "values.yaml"
    file.write_text(values)

    manifests = render(file)

    [deployment] = of_kind(manifests, "Deployment")
    assert settings_of(manifests, deployment, tmp_path) is not None


@pytest.fixture(scope="module")
def query() -> str:
    """What KEDA asks Prometheus."""
    [scaled] = of_kind(render(CHART / "ci/production-values.yaml"), "ScaledObject")
    [trigger] = scaled["spec"]["triggers"]
    text: str = trigger["metadata"]["query"]
    return text


def test_the_query_asks_for_metrics_that_exist(query: str):
    named = {word for word in query.replace("{", " ").replace("(", " ").split() if "_" in word}
    known = {family.name for family in FAMILIES}

    assert {word for word in named if word.startswith("replicator_")} <= known
    assert 'job="data/shop-replicator"' in query


@pytest.mark.parametrize(
    ("lag", "shards", "workers"),
    [
        pytest.param(600, 3, 3, id="the lag asks for more than there are shards"),
        pytest.param(90, 8, 2, id="the lag asks for less"),
        pytest.param(0, 8, 0, id="at the head"),
    ],
)
def test_workers_follow_the_lag_but_are_never_more_than_the_open_shards(
    query: str, tmp_path: Path, lag: int, shards: int, workers: int
):
    """Two workers show the same facts of two tables, one of which is at its head."""
    series = [
        {
            "series": f'{name}{{job="data/shop-replicator",pod="{pod}",{labels}}}',
            "values": f"{value}",
        }
        for pod in ("a", "b")
        for name, labels, value in (
            ("replicator_lag_seconds", 'table="orders"', lag),
            ("replicator_lag_seconds", 'table="users"', 0),
            ("replicator_shards", 'table="orders",state="active"', shards - 1),
            ("replicator_shards", 'table="users",state="unowned"', 1),
            ("replicator_shards", 'table="users",state="done"', 50),
        )
    ]
    expected = {
        "expr": query,
        "eval_time": "0s",
        "exp_samples": [{"labels": "{}", "value": workers}],
    }
    file = tmp_path / "scaling.yaml"
    file.write_text(
        yaml.safe_dump(
            {"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [expected]}]}
        )
    )

    run(tool("promtool", remedy="apt-get install prometheus"), "test", "rules", file)
