"""The status page of a real worker: a gap comes up, and the command that it shows heals it."""

import shlex
from pathlib import Path

import pytest

from tests.faults.replica import replica
from tests.monitoring.browser import browser, chromium_or_skip, new_tab

pytestmark = pytest.mark.long
DOWN_HOURS = 30


async def test_a_gap_is_accepted_by_the_command_that_the_page_shows(
    lease_endpoint: str, database: str, tmp_path: Path
):
    program = chromium_or_skip()
    async with replica(
        lease_endpoint=lease_endpoint,
        dsn=database,
        directory=tmp_path,
        name="looked-at",
        hours_behind=DOWN_HOURS,
    ) as it:
        first = await it.deployment.start_ready()
        it.load.write(30)
        await it.equal(first)
        assert await first.stop() == 0
        it.load.write(30)
        await it.age(DOWN_HOURS)
        it.streams.advance(hours=DOWN_HOURS)
        worker = await it.deployment.start_ready()
        with browser(program, tmp_path / "profile") as port:
            async with new_tab(port) as tab:
                await tab.look(width=1280)
                await tab.open(await worker.url())
                await tab.until("document.querySelector('#attention').innerText.includes('gap')")
                await tab.evaluate("document.querySelector('#shards summary').click()")
                await tab.until("document.querySelector('.tree .shard-gap')")
                heal, command = await tab.evaluate(
                    "[...document.querySelectorAll('.command')].map(c => c.textContent)"
                )
                assert heal.startswith("replicator snapshot --table orders ")

                healed = await it.deployment.command(*shlex.split(command)[1:])

                assert healed.code == 0, healed.text
                await tab.until("document.body.innerText.includes('orders is up to date.')")
                await tab.until("document.querySelector('.tree .shard-active')")
                assert tab.complaints == []
