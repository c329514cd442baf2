"""The dashboard is whole: units, descriptions, variables, and metrics that exist."""

import re
import subprocess
from pathlib import Path

import yaml

from replicator.monitoring.metric_families import FAMILIES
from tests.docs.blocks import ROOT
from tests.monitoring.dashboard import DASHBOARD, expressions, panels
from tests.monitoring.test_metrics import CONTRACT
from tests.support.prometheus import program

SHAPES = ("", "_bucket", "_count", "_sum")


def test_every_panel_has_a_unit_and_says_what_it_shows():
    wanting = [
        panel["title"]
        for panel in panels()
        if not panel["fieldConfig"]["defaults"].get("unit") or len(panel["description"]) < 15
    ]

    assert wanting == []


def test_rows_come_in_the_order_of_an_incident():
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]

    assert rows == [
        "Lag and headroom",
        "Throughput and outcomes",
        "Latency",
        "Workers and leases",
        "Dead letters and gaps",
        "PostgreSQL",
        "DynamoDB",
        "Process",
    ]


def test_no_panel_covers_another_and_no_id_is_used_twice():
    boxes = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for box in boxes
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    ]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len(ids) == len(set(ids))


def test_everything_asks_the_chosen_prometheus():
    asked = {
        target["datasource"]["uid"] for panel in panels() for target in (panel, *panel["targets"])
    }

    assert asked == {"${datasource}"}
    assert {one["name"] for one in DASHBOARD["templating"]["list"]} == {
        *("datasource", "job", "table", "instance")
    }


def test_every_promised_metric_is_shown_and_only_what_exists():
    ours = {family.name for family in FAMILIES}
    text = " ".join(expression.text for expression in expressions())
    asked = set(re.findall(r"\breplicator_\w+", text))

    assert {
        name for name in asked if not any(name.removesuffix(s) in ours for s in SHAPES)
    } == set()
    shown = {name for name in ours if any(name + shape in asked for shape in SHAPES)}
    assert CONTRACT.keys() - shown == set()


def test_where_workers_do_not_agree_the_worst_state_is_shown(tmp_path: Path):
    [expression] = [each.text for each in expressions() if each.asker == "State"]
    told = {"a": "snapshot", "b": "gap"}
    case = {
        "interval": "1m",
        "input_series": [
            {
                "series": "replicator_table_state"
                f'{{job="r", instance="{instance}", table="orders", state="{state}"}}',
                "values": f"{int(state == seen)}x1",
            }
            for instance, seen in told.items()
            for state in ("streaming", "snapshot", "paused", "gap", "halted")
        ],
        "promql_expr_test": [
            {
                "expr": expression.replace("$job", ".*").replace("$table", ".*"),
                "eval_time": "1m",
                "exp_samples": [{"labels": '{table="orders"}', "value": 3}],  # a gap
            }
        ],
    }
    path = tmp_path / "state.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))

    said = subprocess.run(
        [program("promtool"), "test", "rules", path], capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stdout + said.stderr


def test_grafana_is_told_where_prometheus_and_the_dashboard_are():
    provisioning = ROOT / "deploy/grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    [provider] = yaml.safe_load((provisioning / "dashboards/replicator.yaml").read_text())[
        "providers"
    ]

    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
