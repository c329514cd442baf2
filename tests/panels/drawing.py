"""The dashboard as pictures: what Prometheus has, drawn with Grafana's components in a browser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.monitoring.browser import browser, chromium_or_skip, new_tab
from tests.monitoring.dashboard import DASHBOARD
from tests.panels.libraries import ICONS
from tests.support.http_server import served
from tests.support.prometheus import SCRAPE_SECONDS, Prometheus

WIDTH = 1440
TOP = 1528
"""Where the first two rows end."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What the page says of a panel that it drew."""

    type: str
    title: str
    error: str | None
    unknown_unit: str | None
    text: str
    colours: list[str]
    inked: bool

    @property
    def shows_data(self) -> bool:
        match self.type:
            case "timeseries":
                return self.inked
            case "stat":
                return self.text not in ("", "No data", "unknown")
            case _:
                return self.text not in ("", "No data")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A dashboard that was drawn, as PNG, and the panels that are on it."""

    png: bytes
    png_of_the_top: bytes
    panels: list[Panel]


async def draw(prometheus: Prometheus, page: Path, *, began: float, ended: float) -> Drawn:
    """Draw every panel as it is between two times, with a page that was bundled."""
    given = {
        "dashboard": DASHBOARD,
        "prometheus": prometheus.url,
        "from": began,
        "to": ended,
        "scrape": SCRAPE_SECONDS,
        "width": WIDTH,
    }
    async with _served(page) as url:
        with browser(chromium_or_skip(), page.with_name("profile")) as port:
            async with new_tab(port) as tab:
                await tab.look(width=WIDTH, dark=True)
                await tab.open(f"{url}/index.html")
                await tab.evaluate(f"void draw({json.dumps(given)})")
                await tab.until("window.drawn")
                # each panel has a description, whose icon is fetched
                await tab.until("document.querySelectorAll('svg').length >= drawn.length")
                panels: list[dict[str, Any]] = await tab.evaluate("drawn")
                png, top = await tab.photograph(), await tab.photograph(height=TOP)
                assert tab.complaints == []
    return Drawn(png, top, [Panel(**panel) for panel in panels])


@asynccontextmanager
async def _served(page: Path) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_static("/public/build", ICONS)
    app.router.add_static("/", page)
    async with served(app) as url:
        yield url
