"""The Grafana dashboard as a test reads it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.docs.blocks import ROOT

DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "deploy/grafana/dashboards/replicator.json").read_text("utf-8")
)
_LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


@dataclass(frozen=True, slots=True)
class Expression:
    """What a panel, or a variable, asks Prometheus."""

    asker: str
    text: str

    def filled_in(self, *, interval: str) -> str:
        """With all of every variable."""
        text = self.text.replace("$__rate_interval", interval)
        return re.sub(r"\$(job|table|instance)\b", ".*", text)


def panels() -> list[dict[str, Any]]:
    """All but the rows' headings."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[Expression]:
    """Every expression of every panel, and the series that variables take their values from."""
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["definition"])
            assert found, variable["definition"]
            yield Expression(f"variable {variable['name']}", f"count by ({found[2]}) ({found[1]})")
    for panel in panels():
        for target in panel["targets"]:
            yield Expression(panel["title"], target["expr"])
