"""Every alert fires when it should and is silent when it should, as promtool computes it."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from replicator.monitoring.metric_families import FAMILIES
from tests.docs.blocks import ROOT, blocks
from tests.docs.test_pages import anchors
from tests.support.bounds import USUAL_SECONDS
from tests.support.prometheus import RULES, program, rules

ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
ALIVE = {'replicator_build_info{job="r", instance="a"}': "1x400"}


@dataclass(frozen=True, slots=True)
class Case:
    """What is scraped every minute, and what an alert says of it; `fires` None: nothing."""

    alert: str
    title: str
    series: Mapping[str, str]
    at: str = "30m"
    fires: Mapping[str, str] | None = None
    summary: str = ""


def lag(values: str, table: str = "orders") -> dict[str, str]:
    return {f'replicator_lag_seconds{{job="r", table="{table}"}}': values}


def headroom(values: str) -> dict[str, str]:
    return {'replicator_retention_headroom_seconds{job="r", table="orders"}': values}


def records(values: str) -> dict[str, str]:
    name = 'replicator_records_total{job="r", table="orders", event="insert", outcome="applied"}'
    return {name: values}


def state(name: str, values: str = "1x60") -> dict[str, str]:
    return {f'replicator_table_state{{job="r", table="orders", state="{name}"}}': values}


def verdict(name: str, values: str = "1x60") -> dict[str, str]:
    return {f'replicator_table_verdict{{job="r", table="orders", verdict="{name}"}}': values}


def total(name: str, values: str, **labels: str) -> dict[str, str]:
    given = {"job": "r", "instance": "a"} | labels
    inside = ", ".join(f'{key}="{text}"' for key, text in given.items())
    return {f"{name}{{{inside}}}": values}


R, ORDERS = {"job": "r"}, {"job": "r", "table": "orders"}
CASES = [
    Case(
        "ReplicatorDown",
        "nobody was ever there",
        {},
        fires={},
        summary="No worker of replicator answers",
    ),
    Case(
        "ReplicatorDown",
        "the last one of a deployment went",
        ALIVE | total("replicator_build_info", "1x60 _x60", job="q"),
        at="80m",
        fires={"job": "q"},
        summary="No worker of replicator answers in q",
    ),
    Case("ReplicatorDown", "one of two is there", ALIVE),
    Case(
        "ReplicatorLagHigh",
        "a table falls behind, as the worst worker sees it",
        lag("1200x60") | total("replicator_lag_seconds", "0x60", table="orders"),
        at="20m",
        fires=ORDERS,
        summary="orders is 20m 0s behind",
    ),
    Case("ReplicatorLagHigh", "a burst of four minutes", lag("0x10 400x3 0x60"), at="14m"),
    Case("ReplicatorLagHigh", "a table that is paused", lag("1200x60") | state("paused")),
    Case(
        "ReplicatorHeadroomLow",
        "half of a day is over",
        headroom("41800x60"),
        at="20m",
        fires=ORDERS,
        summary="orders loses changes in 11h 36m 40s",
    ),
    Case("ReplicatorHeadroomLow", "at the head", headroom("86400x60")),
    Case(
        "ReplicatorHeadroomCritical",
        "hours are left",
        headroom("12800x60"),
        at="20m",
        fires=ORDERS,
        summary="orders loses changes in 3h 33m 20s",
    ),
    Case("ReplicatorHeadroomCritical", "half a day is left", headroom("43000x60")),
    Case(
        "ReplicatorNoProgress",
        "lag grows and nothing is applied",
        lag("1200x60") | records("7x60") | state("streaming"),
        at="20m",
        fires=ORDERS,
        summary="orders makes no progress, and is 20m 0s behind",
    ),
    Case(
        "ReplicatorNoProgress",
        "lag grows, but records are applied",
        lag("1200x60") | records("0+7x60") | state("streaming"),
    ),
    Case(
        "ReplicatorNoProgress",
        "idle at the head",
        lag("0x60") | records("7x60") | state("streaming"),
    ),
    Case(
        "ReplicatorNoProgress",
        "a person halted it",
        lag("1200x60") | records("7x60") | state("streaming", "0x60") | state("halted"),
    ),
    Case(
        "ReplicatorNotWell",
        "a link is not proved",
        verdict("well", "0x60") | verdict("unknown") | state("streaming"),
        fires=ORDERS,
        summary="orders is not proved to be well",
    ),
    Case(
        "ReplicatorNotWell",
        "all is proved",
        verdict("well") | verdict("unknown", "0x60") | state("streaming"),
    ),
    Case(
        "ReplicatorNotWell",
        "somebody paused it",
        verdict("well", "0x60") | verdict("stopped") | state("paused"),
    ),
    Case(
        "ReplicatorAnotherMapping",
        "two workers were not restarted",
        total("replicator_workers_with_another_mapping", "2x60", table="orders"),
        fires=ORDERS,
        summary="2 workers of orders run another mapping than the registered one",
    ),
    Case(
        "ReplicatorAnotherMapping",
        "they are restarted one after the other",
        total("replicator_workers_with_another_mapping", "0x20 2x4 1x4 0x60", table="orders"),
    ),
    Case(
        "ReplicatorGap",
        "the table is stopped by one",
        state("gap"),
        fires=ORDERS,
        summary="Records of orders are lost, or may be",
    ),
    Case(
        "ReplicatorGap",
        "one was found and accepted by itself",
        state("gap", "0x90")
        | total("replicator_gaps_total", "0x10 1x90", table="orders", kind="certain"),
        fires=ORDERS,
        summary="Records of orders are lost, or may be",
    ),
    Case(
        "ReplicatorGap",
        "it was found and healed long ago",
        state("gap", "0x200")
        | total("replicator_gaps_total", "0x10 1x200", table="orders", kind="certain"),
        at="120m",
    ),
    Case(
        "ReplicatorTableHalted",
        "one is",
        state("halted"),
        fires=ORDERS,
        summary="orders is halted until a person acts",
    ),
    Case("ReplicatorTableHalted", "none is", state("halted", "0x60") | state("streaming")),
    Case(
        "ReplicatorDeadLetters",
        "some are open; two workers say so",
        total("replicator_dead_letters", "3x60", target="public.orders")
        | total("replicator_dead_letters", "3x60", target="public.orders", instance="b"),
        fires={"job": "r", "target": "public.orders"},
        summary="3 records do not fit public.orders",
    ),
    Case(
        "ReplicatorDeadLetters",
        "the last one was resolved",
        total("replicator_dead_letters", "3x10 0x60", target="public.orders"),
    ),
    Case(
        "ReplicatorNoLeaseOwner",
        "shards are read by nobody",
        total("replicator_shards", "2x60", table="orders", state="unowned"),
        fires=ORDERS,
        summary="2 shards of orders are read by nobody",
    ),
    Case(
        "ReplicatorNoLeaseOwner",
        "they change hands",
        total("replicator_shards", "0x20 2x3 0x60", table="orders", state="unowned"),
        at="23m",
    ),
    Case(
        "ReplicatorNoLeaseOwner",
        "nobody may own them: a person paused the table",
        total("replicator_shards", "2x60", table="orders", state="unowned") | state("paused"),
    ),
    Case(
        "ReplicatorWritesFenced",
        "again and again, by several workers",
        total("replicator_fenced_total", "0+1x60")
        | total("replicator_fenced_total", "0+1x60", instance="b"),
        fires=R,
        summary="PostgreSQL refused 60 batches of superseded workers",
    ),
    Case(
        "ReplicatorWritesFenced",
        "once, at a take-over",
        total("replicator_fenced_total", "0x20 1x60"),
    ),
    Case(
        "ReplicatorRestarts",
        "one crashes in a loop",
        ALIVE | total("process_start_time_seconds", "0+300x60"),
        at="60m",
        fires=R,
        summary="Workers of r were restarted 60 times in an hour",
    ),
    Case(
        "ReplicatorRestarts",
        "a deployment, and something else that crashes",
        ALIVE
        | total("process_start_time_seconds", "0x30 1x60")
        | total("process_start_time_seconds", "0+300x60", instance="other"),
        at="60m",
    ),
    Case(
        "ReplicatorTasksFail",
        "PostgreSQL is away",
        total("replicator_task_restarts_total", "0+6x60", table="orders", reason="failed"),
        fires=ORDERS,
        summary="Tasks of orders failed 90 times in 15 minutes",
    ),
    Case(
        "ReplicatorTasksFail",
        "tasks of the process as a whole",
        total("replicator_task_restarts_total", "0+6x60", table="", reason="failed"),
        fires=R,
        summary="Tasks failed 90 times in 15 minutes",
    ),
    Case(
        "ReplicatorTasksFail",
        "a fault of a moment",
        total("replicator_task_restarts_total", "0x20 4x60", table="orders", reason="failed"),
    ),
    Case(
        "ReplicatorGuardRejections",
        "numbers and times contradict each other",
        total(
            "replicator_guard_rejections_total", "0x20 5x60", table="orders", reason="suspicious"
        ),
        fires=ORDERS,
        summary="The order of 5 changes of orders is in doubt",
    ),
    Case(
        "ReplicatorGuardRejections",
        "while a snapshot runs, a stream is quicker",
        total("replicator_guard_rejections_total", "0x20 5x60", table="orders", reason="snapshot"),
    ),
    Case(
        "ReplicatorSnapshotStuck",
        "nothing was read for long",
        total("replicator_snapshot_items", "700x60", table="orders"),
        at="50m",
        fires=ORDERS,
        summary="The snapshot of orders does not go on",
    ),
    Case(
        "ReplicatorSnapshotStuck",
        "it goes on, slowly",
        total("replicator_snapshot_items", "0x20 1x20 2x60", table="orders"),
        at="50m",
    ),
    Case(
        "ReplicatorVerifyUnequal",
        "two rows differ",
        total("replicator_verify_unequal", "2x60", table="orders"),
        fires=ORDERS,
        summary="2 rows of orders are not what their items are",
    ),
    Case(
        "ReplicatorVerifyUnequal",
        "equal",
        total("replicator_verify_unequal", "0x60", table="orders"),
    ),
    Case(
        "ReplicatorVerifyTooOld",
        "more than a week ago",
        total("replicator_verify_timestamp_seconds", "-777600x120", table="orders"),
        at="90m",
        fires=ORDERS,
        summary="orders was last verified 9d 1h 30m 0s ago",
    ),
    Case(
        "ReplicatorVerifyTooOld",
        "yesterday",
        total("replicator_verify_timestamp_seconds", "-86400x120", table="orders"),
        at="90m",
    ),
]


def expected(case: Case) -> list[dict[str, Any]]:
    if case.fires is None:
        return []
    rule = ALERTS[case.alert]
    annotations = rule["annotations"] | {"summary": case.summary}
    return [{"exp_labels": {**rule["labels"], **case.fires}, "exp_annotations": annotations}]


def in_promtool(case: Case) -> dict[str, Any]:
    """A case as a test of promtool, which names it where it fails."""
    alive = {} if case.alert == "ReplicatorDown" else ALIVE
    return {
        "name": f"{case.alert}: {case.title}",
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values}
            for series, values in (alive | dict(case.series)).items()
        ],
        "alert_rule_test": [
            {"alertname": case.alert, "eval_time": case.at, "exp_alerts": expected(case)}
        ],
    }


def test_an_alert_fires_when_it_should_and_only_then(tmp_path: Path):
    document = {
        "rule_files": [str(RULES / name) for name in ("recording.yml", "alerts.yml")],
        "evaluation_interval": "30s",
        "tests": [in_promtool(case) for case in CASES],
    }
    path = tmp_path / "test.yml"
    path.write_text(json.dumps(document))

    said = subprocess.run(
        [program("promtool"), "test", "rules", str(path)],
        capture_output=True,
        text=True,
        timeout=USUAL_SECONDS,
        check=False,
    )

    assert said.returncode == 0, said.stdout + said.stderr


def test_every_alert_is_tried_both_ways():
    fire = {case.alert for case in CASES if case.fires is not None}
    silent = {case.alert for case in CASES if case.fires is None}

    assert fire == silent == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(name: str):
    rule = ALERTS[name]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")

    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert page == "docs/runbook.md"
    assert anchor in anchors(ROOT / page)


def test_the_command_of_the_page_puts_the_address_of_the_runbook_in(tmp_path: Path):
    page = ROOT / "docs/operations/monitoring.md"
    [command] = [each.text for each in blocks(page) if each.text.startswith("sed ")]
    shutil.copy(ROOT / "deploy/prometheus/alerts.yml", tmp_path)

    subprocess.run(["bash", "-euc", command], cwd=tmp_path, check=True)

    [group] = yaml.safe_load((tmp_path / "alerts.yml").read_text())["groups"]
    links = [rule["annotations"]["runbook_url"] for rule in group["rules"]]
    assert len(links) == len(ALERTS)
    assert {link.partition("#")[0] for link in links} == {
        "https://wiki.example.com/replicator/runbook/"
    }


def test_the_rules_ask_for_metrics_that_exist():
    recorded = {rule["record"] for rule in rules("recording.yml")}
    named = {family.name for family in FAMILIES} | recorded
    known = named | {f"{name}_bucket" for name in named} | {"process_start_time_seconds"}
    text = " ".join(rule["expr"] for rule in rules("recording.yml") + rules("alerts.yml"))

    assert set(re.findall(r"[\w:]*(?:replicator|process)_[\w:]*", text)) <= known
