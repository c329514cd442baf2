"""A wait for what processes do ends with them: nobody waits for those that are gone."""

import os
import sys
from pathlib import Path

import pytest

from tests.support import bounds
from tests.support.daemon import ProcessEnded, Worker, brought_about, cold_start
from tests.support.waiting import NotInTime, until_next_look

PAGES = """
import http.server, json
class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"still moving" if self.path == "/status.json" else b"")
server = http.server.HTTPServer(("127.0.0.1", 0), Pages)
print(json.dumps({"http": f"127.0.0.1:{server.server_port}"}), flush=True)
server.serve_forever()
"""


async def never() -> bool:
    return False


def program(directory: Path, text: str) -> Worker:
    return Worker(["sh", "-c", text], directory / "program.log", start=cold_start)


def test_one_looks_the_less_often_the_longer_one_has_waited():
    assert [until_next_look(waited) for waited in (0, 0.3, 2, 60)] == [0.05, 0.05, 0.2, 0.5]


async def test_a_wait_for_a_process_that_has_ended_fails_at_once_and_shows_its_log(tmp_path: Path):
    worker = program(tmp_path, "echo 'the table is not there'; exit 2")

    with pytest.raises(ProcessEnded, match=r"the row is there(.|\n)*exit code 2\nthe table is not"):
        await worker.until(never, what="the row is there")


async def test_what_a_process_did_last_is_seen_although_it_has_ended(tmp_path: Path):
    done = tmp_path / "done"
    worker = program(tmp_path, f"touch {done}")
    assert await worker.ended() == 0

    async def there() -> bool:
        return done.exists()

    assert await worker.until(there, what="the file is there")


async def test_one_that_still_runs_may_bring_it_about(tmp_path: Path):
    done, told = tmp_path / "done", tmp_path / "told"
    os.mkfifo(told)
    gone = program(tmp_path, "exit 2")
    await gone.ended()
    other = program(tmp_path, f"cat {told}; touch {done}")

    looked = 0

    async def there() -> bool:
        nonlocal looked
        looked += 1
        if looked == 2:
            told.write_text("now")
        return done.exists()

    assert await brought_about(there, what="the file is there", by=[gone, other])
    await other.ended()
    with pytest.raises(ProcessEnded):
        await brought_about(never, what="it rains", by=[gone, other])


async def test_a_wait_that_ends_too_late_shows_the_status_of_each_process_that_serves_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bounds, "slower_by", lambda: 1.0)
    serving = Worker([sys.executable, "-c", PAGES], tmp_path / "pages.log", start=cold_start)
    silent = program(tmp_path, "exec sleep 1000")
    try:
        await serving.url()

        with pytest.raises(NotInTime, match=r"it rains(.|\n)*--- status.json\nstill moving$"):
            await brought_about(never, what="it rains", by=[serving, silent], seconds=0)
        with pytest.raises(NotInTime, match=r"it rains(.|\n)*still moving$"):
            await serving.until(never, what="it rains", seconds=0)
    finally:
        serving.kill()
        silent.kill()
