"""The status page as a person sees it, in a real browser."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.monitoring.browser import Tab, browser, chromium
from tests.monitoring.conftest import Monitored, TurnedClock
from tests.monitoring.facts import batch, status, table, worker

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

HOSTILE = "<img src=x onerror=\"document.title='taken'\">';</script><b>\u202ex"
HEALTHY = status(
    table("orders", lag_seconds=0.8),
    table("customers", shards={"active": 1, "waiting": 1, "done": 12}),
    workers=(worker("replicator-7d9f-abcde"), worker("replicator-7d9f-fghij", leases=1)),
)


@pytest.fixture
async def tab(monitored: Monitored, tmp_path: Path) -> AsyncIterator[Tab]:
    program = chromium()
    if program is None:
        assert os.environ.get("CI") != "true", "chromium is required in CI"
        pytest.skip("chromium is not installed")
    monitored.everything_ready()
    async with browser(program, tmp_path / "profile") as tab:
        await tab.look(width=1280)
        await tab.open(monitored.url)
        yield tab


async def text(tab: Tab, selector: str) -> str:
    return str(await tab.evaluate(f"document.querySelector({selector!r}).innerText"))


def says(selector: str, words: str) -> str:
    return f"document.querySelector({selector!r}).innerText.includes({words!r})"


async def test_all_is_well_at_a_glance(monitored: Monitored, tab: Tab):
    monitored.publish(HEALTHY)

    await tab.until(says("h1", "All 2 tables are up to date."))

    rows = await text(tab, "#tables")
    assert "orders" in rows
    assert "0.8 s" in rows
    assert "1 active, 1 waiting, 12 done" in rows
    assert "23 h 53 min" in rows
    assert "2 leases, seen 1 s ago" in await text(tab, "#workers")
    assert await tab.evaluate("document.title") == "payments-prod"
    assert await tab.evaluate("document.getElementById('attention-part').hidden")
    assert tab.complaints == []


async def test_what_is_wrong_comes_first_with_its_remedy(monitored: Monitored, tab: Tab):
    gap = table(
        "carts",
        state="gap",
        reason="Shard 12 left the stream before it was read.",
        remedy="replicator gaps accept --table carts",
        shards={"gap": 1, "active": 1},
    )
    halted = table(
        "events",
        state="halted",
        reason="public.events has no column placed.",
        remedy="Add the column: `replicator migrate`.",
    )
    letters = table("orders", dead_letters={"public.orders": 3}, drift={"public.orders.hue": 4})

    monitored.publish(status(letters, gap, halted, table("it's", state="paused")))
    await tab.until(says("h1", "2 of 4 tables are stopped."))

    subjects = await tab.evaluate(
        "[...document.querySelectorAll('#attention b')].map(b => b.textContent)"
    )
    commands = await tab.evaluate(
        "[...document.querySelectorAll('.command')].map(c => c.textContent)"
    )
    assert subjects == ["carts", "events", "orders", "orders", "it's"]
    assert commands == [
        "replicator gaps accept --table carts",
        "replicator migrate",
        "replicator dead-letters list",
        "replicator resume --table 'it'\\''s'",
    ]
    assert "public.orders.hue" in await text(tab, "#attention")
    assert await tab.evaluate("document.title") == "(3) payments-prod"


async def test_it_changes_by_itself(monitored: Monitored, tab: Tab):
    monitored.publish(HEALTHY)
    await tab.until(says("h1", "up to date"))

    monitored.publish(status(table("orders", lag_seconds=300.0)))
    await tab.until(says("h1", "Replicating, with 1 thing to look at."))

    assert "5 min behind" in await text(tab, "#attention")
    assert "customers" not in await text(tab, "#tables")


async def test_a_server_cut_off_from_its_target_says_so(
    monitored: Monitored, tab: Tab, clock: TurnedClock
):
    monitored.publish(HEALTHY)
    monitored.health.set_ready("target", ok=False, why="PostgreSQL cannot be reached")
    clock.seconds += 120
    monitored.health.beat(clock.seconds)

    await tab.until(says("h1", "target needs you"))

    attention = await text(tab, "#attention")
    assert "PostgreSQL cannot be reached" in attention
    assert "2 min behind" in attention


async def test_hostile_names_are_only_text(monitored: Monitored, tab: Tab):
    hostile = table(
        HOSTILE, state="halted", reason=HOSTILE, remedy=f"replicator {HOSTILE}", drift={HOSTILE: 1}
    )
    monitored.publish(
        replace(status(hostile, table("__proto__"), table("constructor")), deployment=HOSTILE)
    )

    await tab.until("document.querySelectorAll('#tables tr').length === 3")

    names = await tab.evaluate(
        "[...document.querySelectorAll('#tables th')].map(th => th.textContent)"
    )
    shown = HOSTILE.replace("\u202e", "\\u{202e}")
    assert names == [shown, "__proto__", "constructor"]
    assert await tab.evaluate("document.images.length") == 0
    assert await tab.evaluate("document.title") == f"(1) {HOSTILE}"
    assert tab.complaints == []


async def test_no_answer_is_said_and_the_last_known_stays(monitored: Monitored, tab: Tab):
    monitored.publish(HEALTHY)
    await tab.until(says("h1", "up to date"))

    await tab.call("Network.enable")
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await tab.call("Network.emulateNetworkConditions", **offline)
    await tab.until(says("h1", "does not answer"))

    assert "orders" in await text(tab, "#tables")
    assert "no answer since" in await text(tab, "#age")


async def test_the_last_hour_is_drawn_and_told(monitored: Monitored, tab: Tab, clock: TurnedClock):
    for minute in range(50):
        monitored.publish(status(table(lag_seconds=float(minute % 7))))
        monitored.observe(batch(records={("insert", "applied"): 30}))
        clock.seconds += 15
        monitored.health.beat(clock.seconds)
    await tab.call("Page.reload")

    await tab.until("document.querySelector('.spark')")

    label = await tab.evaluate("document.querySelector('.spark').getAttribute('aria-label')")
    assert label == "lag in the last hour, at most 6 s"
    assert "120" in await text(tab, "#tables")


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
async def test_it_fits_every_width(monitored: Monitored, tab: Tab, width: int):
    long = "a-table-with-a-name-that-is-as-long-as-dynamodb-allows-" * 4
    monitored.publish(status(table(long, state="gap", reason="x" * 300), *HEALTHY.tables))
    await tab.look(width=width, height=800)

    await tab.until(says("h1", "1 of 3 tables is stopped."))

    assert await tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
async def test_every_text_has_enough_contrast(monitored: Monitored, tab: Tab, dark: bool):
    monitored.publish(
        status(
            table("a", state="gap"),
            table("b", state="paused", lag_seconds=500.0),
            table("c", lag_seconds=500.0, dead_letters={"t": 1}),
            *HEALTHY.tables,
            workers=(worker(seen=900.0), worker("w2")),
        )
    )
    await tab.look(width=1280, dark=dark)
    await tab.until(says("h1", "stopped"))

    assert await tab.evaluate(_FAINT_TEXTS) == []


_FAINT_TEXTS = """
(() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => {
    const linear = c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
    const [r, g, b] = channels(color).map(c => linear(c / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor, [, , , alpha = 1] = channels(color);
      if (alpha === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (["SCRIPT", "NOSCRIPT"].includes(element.tagName) || !element.checkVisibility()) continue;
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const lights = [light(getComputedStyle(element).color), light(behind(element))];
    const ratio = (Math.max(...lights) + .05) / (Math.min(...lights) + .05);
    if (ratio < 4.5) faint.push(`${element.innerText}: ${ratio.toFixed(2)}`);
  }
  return faint;
})()
"""
