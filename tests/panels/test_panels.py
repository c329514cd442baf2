"""The panels are drawn and looked at: with a deployment in trouble, and with nothing at all."""

import time
from pathlib import Path

import pytest

from tests.monitoring.browser import chromium_or_skip
from tests.panels.drawing import draw
from tests.panels.libraries import bundle
from tests.panels.trouble import troubled
from tests.support.ports import kept_port
from tests.support.prometheus import prometheus
from tests.support.warm_start import ROOT

pytestmark = pytest.mark.long
PICTURE = ROOT / "build/dashboard.png"
GREEN = "rgb(115, 191, 105)"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """What draws; where it cannot be had, nothing else is begun."""
    chromium_or_skip()
    bundle(tmp_path / "page")
    return tmp_path / "page"


async def test_every_panel_shows_what_happens_to_a_deployment(
    page: Path, database: str, tmp_path: Path
):
    async with troubled(database, tmp_path) as minute:
        drawn = await draw(minute.prometheus, page, began=minute.began, ended=minute.ended)

    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(drawn.png)
    PICTURE.with_stem("dashboard-top").write_bytes(drawn.png_of_the_top)
    assert {panel.title: panel.error for panel in drawn.panels if panel.error} == {}
    units = {panel.title: panel.unknown_unit for panel in drawn.panels if panel.unknown_unit}
    assert units == {}
    assert [panel.title for panel in drawn.panels if not panel.shows_data] == []
    stats = {panel.title: panel for panel in drawn.panels if panel.type == "stat"}
    green = {title for title, stat in stats.items() if GREEN in stat.colours}
    assert (stats["Stopped tables"].text, stats["Open dead letters"].text) == ("1", "3")
    assert "Workers" in green
    assert not {"Stopped tables", "Open dead letters"} & green
    [state] = [panel.text for panel in drawn.panels if panel.title == "State"]
    assert {"snapshot", "streaming", "paused", "gap"} <= set(state.split("\n"))


async def test_what_is_not_known_is_never_green(page: Path, tmp_path: Path):
    now = time.time()
    async with prometheus(tmp_path, port=kept_port()) as nothing_scraped:
        drawn = await draw(nothing_scraped, page, began=now - 60, ended=now)

    stats = [panel for panel in drawn.panels if panel.type == "stat"]
    assert {stat.text for stat in stats if stat.title != "Workers"} == {"unknown"}
    assert [stat.text for stat in stats if stat.title == "Workers"] == ["0"]
    assert [stat.title for stat in stats if GREEN in stat.colours] == []
    assert {panel.text for panel in drawn.panels if panel.type != "stat"} == {"No data"}
