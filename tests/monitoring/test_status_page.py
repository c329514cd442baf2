"""The status page as a person sees it, in a real browser."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from replicator import __version__
from replicator.core.snapshot.snapshot_progress import SnapshotStatus
from replicator.core.status.attribute_drift import Drifted
from replicator.core.status.deployment_status import GapStatus, LetterStatus
from replicator.core.verify.results import Verified
from replicator.monitoring.http_server import PAGE
from tests.monitoring.browser import Tab, browser, chromium_or_skip, new_tab
from tests.monitoring.conftest import Monitored, TurnedClock
from tests.monitoring.facts import shard, status, table, worker
from tests.monitoring.pictures import fleet
from tests.support.warm_start import ROOT

HOSTILE = "<img src=x onerror=\"document.title='taken'\">';</script><b>\u202ex"
HEALTHY = status(
    table("orders", lag_seconds=0.8),
    table("customers", shards={"active": 1, "waiting": 1, "done": 12}),
    workers=(
        replace(worker("replicator-7d9f-abcde"), holds={"orders": 1, "customers": 1}),
        worker("replicator-7d9f-fghij", leases=1),
    ),
)
THEN = datetime(2026, 1, 1, 11, 59, tzinfo=UTC)
HUE = Drifted(4, ("S",), THEN)
OLDER = "arn:aws:dynamodb:eu-west-1:1:table/orders/stream/2025-12-01T00:00:00.000"
FAMILY = (
    shard("shardId-1-old", stream_arn=OLDER, state="done", owner=None, lag_seconds=None),
    shard("shardId-2-root", state="done", owner=None, lag_seconds=None),
    shard("shardId-3-left", parent_id="shardId-2-root", owner="replicator-7d9f-abcde"),
    shard("shardId-4-right", parent_id="shardId-2-root", lag_seconds=80.0),
    shard("shardId-5-child", parent_id="shardId-4-right", state="waiting", lag_seconds=80.0),
    shard("shardId-6-alone", state="unowned", owner=None, lag_seconds=7200.0),
)


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    program = chromium_or_skip()
    with browser(program, tmp_path_factory.mktemp("chromium") / "profile") as port:
        yield port


@pytest.fixture
async def tab(monitored: Monitored, chrome: int) -> AsyncIterator[Tab]:
    monitored.everything_ready()
    async with new_tab(chrome) as tab:
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
    workers = await text(tab, "#workers")
    assert "2 leases, seen 1 s ago" in workers
    assert "orders 1, customers 1" in workers
    assert await tab.evaluate("document.title") == "payments-prod"
    assert await tab.evaluate("document.getElementById('attention-part').hidden")
    assert tab.complaints == []


async def test_a_worker_that_is_gone_has_no_leases_any_more(monitored: Monitored, tab: Tab):
    monitored.publish(status(table(), workers=(worker("lives"), worker("left", seen=60.0))))

    await tab.until(says("#workers", "gone, seen 1 min ago"))

    assert (await text(tab, "#workers")).count("lease") == 1


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
    letters = table("orders", dead_letters={"public.orders": 3}, drift={"public.orders.hue": HUE})

    paused = table(
        "it's",
        state="paused",
        reason="paused by hand",
        remedy="replicator resume --table its",
    )

    monitored.publish(status(letters, gap, halted, paused))
    await tab.until(says("h1", "3 of 4 tables are stopped."))

    subjects = await tab.evaluate(
        "[...document.querySelectorAll('#attention b')].map(b => b.textContent)"
    )
    commands = await tab.evaluate(
        "[...document.querySelectorAll('.command')].map(c => c.textContent)"
    )
    assert subjects == ["events", "carts", "orders", "it's", "orders"]
    assert commands == [
        "replicator migrate",
        "replicator gaps accept --table carts",
        "replicator dead-letters list --table orders",
        "replicator resume --table its",
        "rest",
    ]
    assert "public.orders.hue" in await text(tab, "#attention")
    assert await tab.evaluate("document.title") == "(3) payments-prod"


async def test_a_gap_and_the_newest_dead_letter_say_what_and_how_to_mend_it(
    monitored: Monitored, tab: Tab
):
    remedy = "replicator gaps accept --table carts"
    trimmed = GapStatus(4, "certain", "shardId-9", "it was trimmed", THEN, remedy)
    renewed = GapStatus(5, "possible", None, "a new stream", THEN, remedy)
    reason = "certain gap, shard shardId-9: it was trimmed"
    letter = LetterStatus(17, "public.orders", "attribute 'n', column 'n': no number", THEN)

    monitored.publish(
        status(
            table("carts", state="gap", gaps=(trimmed, renewed), reason=reason, remedy=remedy),
            table("orders", dead_letters={"public.orders": 2}, newest_dead_letter=letter),
        )
    )
    await tab.until(says("h1", "1 of 2 tables is stopped."))

    attention = await text(tab, "#attention")
    assert "Certain gap, shard shardId-9: it was trimmed, and 1 more" in attention
    assert "2 dead letters, the newest of public.orders" in attention
    assert "attribute 'n', column 'n': no number." in attention
    assert await tab.evaluate(
        "[...document.querySelectorAll('.command')].map(c => c.textContent)"
    ) == [
        remedy,
        "replicator dead-letters list --table orders",
    ]


async def test_a_snapshot_and_the_last_comparison_are_told(monitored: Monitored, tab: Tab):
    running = SnapshotStatus(
        *(1, "initial", "running", "worker", 1234, 5000, 0, 10.0, 4, 1, 90.0, None)
    )
    refused = replace(running, state="refused", detail="9,000 rows would be deleted")
    reason = "the deletion of stale rows waits for a person: 9,000 rows would be deleted"
    remedy = "`replicator snapshot --cancel` (keeps those rows), or `--force` (deletes them)"
    monitored.publish(
        status(
            table("loads", state="snapshot", snapshot=running),
            table("waits", state="snapshot", snapshot=refused, reason=reason, remedy=remedy),
            table("orders", verified=Verified(THEN, 2, 0, None), verified_seconds_ago=3600.0),
        )
    )
    await tab.until(says("h1", "1 of 3 tables is stopped."))

    attention = await text(tab, "#attention")
    assert "read 1,234 of about 5,000 items, 25 %, about 90 s left." in attention
    assert "waits for a person: 9,000 rows would be deleted." in attention
    assert "replicator snapshot --cancel (keeps those rows), or --force (deletes" in attention
    assert "The last verify found 2 rows unequal, 1 h ago." in attention


async def test_the_shards_of_a_table_are_drawn_as_a_tree_that_lives(monitored: Monitored, tab: Tab):
    monitored.publish(status(table("orders", lineage=FAMILY)))
    await tab.until("document.querySelector('#shards summary')")

    await tab.evaluate("document.querySelector('#shards summary').click()")
    await tab.until("document.querySelectorAll('.tree').length === 2")

    lines = await tab.evaluate("[...document.querySelectorAll('.tree li')].map(l => l.innerText)")
    assert [line.split() for line in lines] == [
        ["left", "active", "replicator-7d9f-abcde,", "at", "the", "head"],
        ["right", "active", "w,", "1", "min", "20", "s", "behind"],
        ["child", "waits", "for", "right", "1", "min", "20", "s", "behind"],
        ["alone", "no", "owner", "2", "h", "behind"],
        ["old", "done"],
    ]
    generations = await tab.evaluate(
        "[...document.querySelectorAll('.generation')].map(g => g.textContent)"
    )
    assert generations == [
        "Stream of 2026-01-01T00:00:00.000",
        "Older stream of 2025-12-01T00:00:00.000",
    ]
    drawn = "document.querySelectorAll('.tree path').length"
    assert await tab.evaluate(drawn) == 3
    assert await tab.evaluate("document.querySelectorAll('.tree circle').length") == 6

    monitored.publish(status(table("orders", lineage=FAMILY[:4])))
    await tab.until(f"{drawn} === 2")
    assert tab.complaints == []


async def test_thousands_of_shards_and_a_circle_of_parents_are_drawn_up_to_a_bound(
    monitored: Monitored, tab: Tab
):
    many = [shard(f"shardId-{n:05d}", state="waiting") for n in range(5000)]
    circle = [shard("shardId-a", parent_id="shardId-b"), shard("shardId-b", parent_id="shardId-a")]
    counts = {"waiting": 5000, "active": 2}
    monitored.publish(status(table("orders", lineage=(*many, *circle), shards=counts)))
    await tab.until("document.querySelector('#shards summary')")

    await tab.evaluate("document.querySelector('#shards summary').click()")

    await tab.until(says("#shards", "and 4,802 more shards"))
    assert await tab.evaluate("document.querySelectorAll('.tree li').length") == 200


async def test_it_changes_by_itself(monitored: Monitored, tab: Tab):
    monitored.publish(HEALTHY)
    await tab.until(says("h1", "up to date"))

    monitored.publish(status(table("orders", lag_seconds=300.0)))
    await tab.until(says("h1", "0 of 1 table up to date, 1 behind."))

    assert "Changes of 5 min ago are not applied" in await text(tab, "#attention")
    assert "customers" not in await text(tab, "#tables")


async def test_a_server_cut_off_from_its_target_says_so(
    monitored: Monitored, tab: Tab, clock: TurnedClock
):
    monitored.publish(HEALTHY)
    monitored.health.set_ready("target", ok=False, why="PostgreSQL cannot be reached")
    clock.seconds += 120
    monitored.health.beat(clock.seconds)

    await tab.until(says("h1", "PostgreSQL needs you"))

    attention = await text(tab, "#attention")
    assert "PostgreSQL cannot be reached" in attention
    assert "PostgreSQL has not answered for 2 min" in attention


async def test_hostile_names_are_only_text(monitored: Monitored, tab: Tab):
    gap = GapStatus(1, "certain", HOSTILE, HOSTILE, THEN, f"replicator {HOSTILE}")
    hostile = table(
        HOSTILE,
        state="halted",
        reason=HOSTILE,
        remedy=f"replicator {HOSTILE}",
        drift={HOSTILE: Drifted(1, (HOSTILE,), THEN)},
        gaps=(gap,),
        newest_dead_letter=LetterStatus(1, HOSTILE, HOSTILE, THEN),
        dead_letters={HOSTILE: 1},
        lineage=(shard(HOSTILE, owner=HOSTILE), shard("__proto__", parent_id=HOSTILE)),
    )
    named = replace(worker(HOSTILE), holds={HOSTILE: 1})
    known = status(hostile, table("__proto__"), table("constructor"), workers=(named,))
    monitored.publish(replace(known, deployment=HOSTILE))

    await tab.until("document.querySelectorAll('#tables tr').length === 3")

    names = await tab.evaluate(
        "[...document.querySelectorAll('#tables th')].map(th => th.textContent)"
    )
    shown = HOSTILE.replace("\u202e", "\\u{202e}")
    assert names == [shown, "__proto__", "constructor"]
    await tab.evaluate("document.querySelectorAll('#shards summary').forEach(s => s.click())")
    await tab.until("document.querySelectorAll('.tree circle').length === 2")
    assert await tab.evaluate("document.images.length") == 0
    assert str(await tab.evaluate("document.title")).endswith(HOSTILE)
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
        monitored.publish(status(table(lag_seconds=float(minute % 7), records_per_minute=120)))
        clock.seconds += 15
        monitored.health.beat(clock.seconds)
    await tab.call("Page.reload")

    await tab.until("document.querySelector('.spark')")

    label = await tab.evaluate("document.querySelector('.spark').getAttribute('aria-label')")
    assert label == "lag in the last hour, at most 6 s"
    assert "120" in await text(tab, "#tables")


async def test_many_tables_with_one_kind_of_problem_are_one_entry(monitored: Monitored, tab: Tab):
    monitored.publish(status(*fleet(30)))
    await tab.until(says("h1", "3 of 30 tables are stopped."))

    subjects = await tab.evaluate(
        "[...document.querySelectorAll('#attention > li > b')].map(b => b.textContent)"
    )
    assert subjects == ["events-0", "events-1", "20 tables are behind", "audit"]
    await tab.evaluate("document.querySelector('#attention summary').click()")
    attention = await text(tab, "#attention")
    assert "tenant-007 Changes of 6 min ago are not applied" in attention


async def test_well_tables_are_folded_below_many_that_are_not(monitored: Monitored, tab: Tab):
    monitored.publish(status(*fleet(30)))
    await tab.until(says("#fold", "7 tables are up to date"))
    assert await tab.evaluate("document.querySelectorAll('#tables tr').length") == 23
    assert await tab.evaluate("document.getElementById('well').hidden")

    await tab.evaluate("document.getElementById('fold').click()")

    assert "well-06" in await text(tab, "#well")
    monitored.publish(status(*[table(f"well-{n}") for n in range(30)]))
    await tab.until(says("h1", "All 30 tables are up to date."))
    assert await tab.evaluate("document.querySelectorAll('#tables tr').length") == 30
    assert await tab.evaluate("document.getElementById('folding').hidden")


async def test_each_table_has_a_view_of_its_own_with_its_shards(monitored: Monitored, tab: Tab):
    others = (worker("w", leases=9), replace(worker("its"), holds={"well-03": 1}))
    drawn = [replace(each, lineage=FAMILY) for each in fleet(30)]
    monitored.publish(status(*drawn, workers=others))
    await tab.until(says("h1", "stopped"))
    assert await tab.evaluate("document.getElementById('shards-part').hidden")

    await tab.evaluate("[...document.links].find(a => a.text === 'well-03').click()")

    await tab.until(says("h1", "well-03 is up to date."))
    await tab.until("document.querySelector('#shards .tree')")
    assert await tab.evaluate("document.querySelectorAll('#table tbody th').length") == 1
    assert await tab.evaluate("document.getElementById('attention-part').hidden")
    assert "its" in await text(tab, "#workers")
    await tab.evaluate("document.querySelector('#all-tables a').click()")
    await tab.until(says("h1", "3 of 30 tables are stopped."))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1920, pytest.param(1280, marks=pytest.mark.wide)])
async def test_thirty_tables_fit_every_width(
    monitored: Monitored, tab: Tab, width: int, *, dark: bool
):
    monitored.publish(status(*fleet(30)))
    await tab.look(width=width, height=800, dark=dark)
    await tab.until(says("h1", "3 of 30 tables are stopped."))
    await tab.evaluate("document.querySelector('#attention summary').click()")
    await tab.evaluate("document.getElementById('fold').click()")

    assert await tab.evaluate("document.documentElement.scrollWidth") <= width
    assert await tab.evaluate(_FAINT_TEXTS) == []


async def test_the_page_says_its_version_and_links_the_runbook(monitored: Monitored, tab: Tab):
    monitored.publish(status(table("orders", dead_letters={"public.orders": 3})))
    await tab.until(says("#attention", "3 dead letters"))
    assert f"replicator {__version__}" in await text(tab, "footer")
    assert await tab.evaluate("document.querySelector('.runbook')") is None

    await tab.evaluate("document.getElementById('version').dataset.runbook = 'http://x.test/r'")
    monitored.publish(status(table("orders", dead_letters={"public.orders": 4})))
    await tab.until(says("#attention", "4 dead letters"))

    link = await tab.evaluate("document.querySelector('.runbook').href")
    assert link == "http://x.test/r#replicatordeadletters"

    monitored.publish(status(table("orders", state="paused", reason="paused by Ada: a test")))
    await tab.until(says("#attention", "Paused by Ada: a test."))
    link = await tab.evaluate("document.querySelector('.runbook').href")
    assert link == "http://x.test/r#by-symptom"


async def test_a_sentence_begins_with_a_capital_and_a_name_stays_as_it_is(
    monitored: Monitored, tab: Tab
):
    told = {"state": "halted", "reason": "public.orders has no column n", "remedy": "add it"}
    monitored.publish(status(table("orders", **told)))

    await tab.until(says("#attention", "public.orders has no column n."))

    assert "Add it" in await text(tab, "#attention")


def test_every_section_that_the_page_links_is_in_the_runbook():
    (linked,) = re.findall(rb"const RUNBOOK = \{(.*?)\};", PAGE, re.DOTALL)
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    sections = {
        re.sub(r"\s+", "-", heading.lower())
        for heading in re.findall(r"^#+ (.+)$", runbook, re.MULTILINE)
    }

    others = re.findall(rb'const RUNBOOK_OF_OTHERS = "(.*?)";', PAGE)
    anchors = {anchor.decode() for anchor in re.findall(rb'"(.*?)"', linked) + others}

    assert len(anchors) > 10
    assert anchors <= sections


@pytest.mark.parametrize(
    "width",
    [320, 1040, *(pytest.param(width, marks=pytest.mark.wide) for width in (390, 768, 1140, 1280))],
)
async def test_it_fits_every_width(monitored: Monitored, tab: Tab, width: int):
    long = "a-table-with-a-name-that-is-as-long-as-dynamodb-allows-" * 4
    family = tuple(replace(one, owner=long) for one in FAMILY)
    gap = table(long, state="gap", reason="x" * 300, lineage=family)
    monitored.publish(status(gap, *HEALTHY.tables))
    await tab.look(width=width, height=800)

    await tab.until(says("h1", "1 of 3 tables is stopped."))
    await tab.evaluate("document.querySelector('#shards summary').click()")
    await tab.until("document.querySelector('.tree')")

    assert await tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
async def test_every_text_has_enough_contrast(monitored: Monitored, tab: Tab, dark: bool):
    monitored.publish(
        status(
            table("a", state="gap", lineage=FAMILY),
            table("b", state="paused", lag_seconds=500.0),
            table("c", lag_seconds=500.0, dead_letters={"t": 1}),
            *HEALTHY.tables,
            workers=(worker(seen=900.0), worker("w2")),
        )
    )
    await tab.look(width=1280, dark=dark)
    await tab.until(says("h1", "stopped"))
    await tab.evaluate("document.querySelector('#shards summary').click()")
    await tab.until("document.querySelector('.tree')")

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
