"""The pages as a probe, a scraper and an application see them, from a real server."""

import asyncio
import json
import logging
import socket
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from replicator.core.status.attribute_drift import Drifted
from replicator.core.status.status_json import document
from replicator.core.status.status_shard_pages import SHARDS_MAX, EndedShard
from replicator.core.telemetry_events import TaskStuck
from replicator.errors import ConfigurationError, SinkUnavailable
from replicator.monitoring.allowed_hosts import expected
from replicator.monitoring.http_connection_limits import HttpBounds
from replicator.monitoring.http_server import serve
from tests.monitoring.conftest import Monitored, TurnedClock
from tests.monitoring.facts import batch, shard, status, table, worker
from tests.support.bounds import USUAL_SECONDS, scaled
from tests.support.builders import NOON
from tests.support.ports import kept_port


async def get(client: ClientSession, path: str) -> tuple[int, dict[str, Any]]:
    async with client.get(path) as answer:
        return answer.status, await answer.json()


async def test_metrics_are_text_for_who_does_not_ask(monitored: Monitored, client: ClientSession):
    monitored.observe(batch())

    async with client.get("/metrics") as answer:
        text = await answer.text()

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'replicator_rows_total{operation="upsert",target="public.orders"} 2.0' in text


async def test_metrics_are_openmetrics_for_who_asks(monitored: Monitored, client: ClientSession):
    monitored.publish(status(table()))

    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    async with client.get("/metrics", headers=accept) as answer:
        text = await answer.text()

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert "replicator_lag_seconds" in {family.name for family in parse_openmetrics(text)}


async def test_a_process_that_works_is_alive(client: ClientSession):
    code, body = await get(client, "/healthz")

    assert (code, body["ok"]) == (200, True)


async def test_a_loop_that_turns_no_more_is_named(
    monitored: Monitored, client: ClientSession, clock: TurnedClock
):
    clock.seconds += 31
    hanging = await get(client, "/healthz")
    monitored.health.beat(clock.seconds)

    assert hanging[0] == 503
    assert hanging[1]["checks"] == [
        {"name": "loop", "ok": False, "reason": "no progress for 31 s, limit 30 s"}
    ]
    assert (await get(client, "/healthz"))[0] == 200


async def test_a_task_that_cannot_be_ended_is_named(monitored: Monitored, client: ClientSession):
    monitored.health.observe(TaskStuck("shard 7", "orders", 90.0, cancelled=False))

    code, body = await get(client, "/healthz")

    assert code == 503
    assert "shard 7" in str(body)


async def test_a_blocked_loop_does_not_answer(monitored: Monitored):
    blocked, go_on = socket.socketpair()

    def ask() -> str:
        host, port = monitored.url.removeprefix("http://").split(":")
        blocking = socket.create_connection((host, int(port)))
        with blocking:
            blocking.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            blocking.settimeout(scaled(0.3))
            try:
                blocking.recv(1)
            except TimeoutError:
                answer = "no answer"
            else:
                answer = "an answer"
            go_on.send(b"!")
            return answer

    loop = asyncio.get_running_loop()
    with blocked, go_on:
        asking = loop.run_in_executor(None, ask)
        blocked.recv(1)  # the loop stands still here, as in a bug
        assert await asking == "no answer"


async def test_readiness_is_of_the_process_not_of_its_tables(
    monitored: Monitored, client: ClientSession
):
    monitored.everything_ready()
    monitored.publish(status(table(state="gap", reason="trimmed"), table("carts", state="halted")))
    with_stopped_tables = await get(client, "/readyz")

    monitored.health.set_ready("target", ok=False, why="PostgreSQL cannot be reached")
    code, body = await get(client, "/readyz")

    assert with_stopped_tables[0] == 200
    assert (code, body["ok"]) == (503, False)
    checks = body["checks"]
    assert isinstance(checks, list)
    assert {"name": "target", "ok": False, "reason": "PostgreSQL cannot be reached"} in checks


async def test_a_status_that_cannot_be_read_again_names_the_failure_within_two_reads(
    monitored: Monitored, client: ClientSession, clock: TurnedClock
):
    async def problems() -> list[tuple[str, str]]:
        _, body = await get(client, "/status.json")
        return [(each["kind"], each["what"]) for each in body["problems"]]

    monitored.publish(status(table()))
    clock.seconds += 2
    monitored.latest.failed("connection refused", "start it")
    after_one = await problems()
    clock.seconds += 2
    monitored.latest.failed("connection refused", "start it")
    [(kind, what)] = await problems()
    ready = await get(client, "/readyz?table=orders")
    monitored.publish(status(table()))

    assert after_one == []
    assert kind == "target"
    assert what.startswith("PostgreSQL has not answered for 4 s")
    assert what.endswith("connection refused")
    assert (ready[0], "connection refused" in str(ready[1])) == (503, True)
    assert await problems() == []
    monitored.latest.failed("connection refused", "start it")
    assert await problems() == []


async def test_a_status_that_was_never_read_says_what_keeps_it(
    monitored: Monitored, client: ClientSession
):
    starting = await get(client, "/status.json")
    monitored.health.set_ready("target", ok=False, why="PostgreSQL cannot be reached")

    expected_reason = "the status is not known yet: target: PostgreSQL cannot be reached"
    for path in ("/status.json", "/shards.json?table=orders"):
        code, body = await get(client, path)
        assert (code, body["reason"]) == (503, expected_reason)
    table_code, table_body = await get(client, "/readyz?table=orders")

    assert starting[1]["reason"] == "the status is not known yet"
    assert (table_code, "PostgreSQL cannot be reached" in str(table_body)) == (503, True)


async def test_one_table_is_asked_by_name(
    monitored: Monitored, client: ClientSession, clock: TurnedClock
):
    unknown_yet = await get(client, "/readyz?table=orders")
    monitored.publish(status(table("orders"), table("a b&c", state="halted", reason="no column")))

    ready = await get(client, "/readyz?table=orders")
    halted = await get(client, "/readyz?table=a%20b%26c")
    missing = await get(client, "/readyz?table=nothing")
    clock.seconds += 300
    forgotten = await get(client, "/readyz?table=orders")

    assert (unknown_yet[0], ready[0], halted[0], missing[0]) == (503, 200, 503, 404)
    assert "halted: no column" in str(halted[1])
    assert "PostgreSQL has not answered for 5 min" in str(forgotten[1])


async def test_the_status_is_the_one_document(monitored: Monitored, client: ClientSession):
    before = await get(client, "/status.json")
    now = status(
        table("\ud800 \u2028 </script>"),
        table(drift={"x.y": Drifted(2, ("S",), NOON)}),
        workers=(worker(),),
    )
    monitored.publish(now)

    code, body = await get(client, "/status.json")

    assert before[0] == 503
    assert before[1]["schema_version"] == 1
    assert code == 200
    assert body == json.loads(json.dumps(document(now)))


async def test_the_shards_of_one_table_are_a_document_of_their_own(
    monitored: Monitored, client: ClientSession
):
    before = await get(client, "/shards.json?table=orders")
    monitored.publish(status(table(lineage=(shard("a"), shard("b", parent_id="a")))))

    code, body = await get(client, "/shards.json?table=orders")

    [generation] = body["generations"]
    assert (before[0], code) == (503, 200)
    assert [each["shard_id"] for each in generation["shards"]] == ["a", "b"]
    assert (await get(client, "/shards.json?table=nothing"))[0] == 404
    assert (await get(client, "/shards.json"))[0] == 404
    assert "lineage" not in str(await get(client, "/status.json"))


async def test_shards_come_in_pages_and_those_that_ended_come_last(
    monitored: Monitored, client: ClientSession
):
    lineage = tuple(shard(f"open-{number:04d}") for number in range(SHARDS_MAX + 100))
    monitored.ended = [
        EndedShard(lineage[0].stream_arn, f"ended-{n:04d}", None, NOON - timedelta(seconds=n))
        for n in range(SHARDS_MAX)
    ]
    monitored.publish(status(table(lineage=lineage)))
    seen: list[str] = []
    sizes: list[int] = []
    after: str | None = ""

    while after is not None:
        path = "/shards.json?table=orders" + (f"&after={after}" if after else "")
        _, body = await get(client, path)
        found = [each["shard_id"] for part in body["generations"] for each in part["shards"]]
        seen += found
        sizes.append(len(found))
        after = body["next"]

    assert sizes == [SHARDS_MAX, SHARDS_MAX, 100]
    assert len(set(seen)) == len(seen) == 2 * SHARDS_MAX + 100
    assert all(name.startswith("open") for name in seen[:SHARDS_MAX])
    assert (await get(client, "/shards.json?table=orders&after=nonsense"))[0] == 400


@pytest.mark.parametrize("failure", [TimeoutError(), SinkUnavailable("PostgreSQL is away")])
async def test_without_postgresql_the_shards_that_have_not_ended_are_told_and_more_is_promised(
    clock: TurnedClock, failure: Exception
):
    async def away(*_: object) -> list[EndedShard]:
        raise failure

    shown = Monitored(clock)
    shown.publish(status(table(lineage=(shard("a"),)), table("carts")))
    pages = replace(shown.pages, ended=away)

    async with (
        serve(pages, host="127.0.0.1", port=0) as port,
        ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        code, body = await get(client, "/shards.json?table=orders")
        nothing = await get(client, "/shards.json?table=carts")

    [generation] = body["generations"]
    assert (code, [each["shard_id"] for each in generation["shards"]]) == (200, ["a"])
    assert body["next"] is not None
    assert nothing[0] == 503
    assert "cannot be read now" in str(nothing[1])


async def test_the_history_has_the_last_hour(monitored: Monitored, client: ClientSession):
    monitored.publish(status(table(lag_seconds=4.0)))

    code, body = await get(client, "/history.json")

    assert code == 200
    assert "4.0" in str(body)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics",
        "/healthz",
        "/readyz",
        "/status.json",
        "/history.json",
        "/shards.json",
        "/nothing",
    ],
)
async def test_every_answer_is_fresh_and_allows_nothing(client: ClientSession, path: str):
    async with client.get(path) as answer:
        headers = answer.headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Server"] == "replicator"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(client: ClientSession, method: str):
    async with client.request(method, "/status.json") as answer:
        assert answer.status == 405


async def test_the_page_needs_nothing_from_elsewhere(client: ClientSession):
    async with client.get("/") as answer:
        page = await answer.text()

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    outside = page.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in outside
    assert "https://" not in outside
    assert "innerHTML" not in page


async def test_a_port_in_use_is_one_clear_message(monitored: Monitored):
    port = int(monitored.url.rsplit(":", 1)[1])

    with pytest.raises(ConfigurationError, match=f"port {port}: the port is in use") as refused:
        async with serve(monitored.pages, host="127.0.0.1", port=port):
            pass

    assert refused.value.remedy is not None
    assert "http.port (or REPLICATOR_HTTP__PORT)" in refused.value.remedy
    assert "0 for any" in refused.value.remedy


@pytest.mark.parametrize("host", ["203.0.113.7", "no host at all"])
async def test_an_address_of_another_machine_is_refused(monitored: Monitored, host: str):
    with pytest.raises(ConfigurationError, match="cannot listen on") as refused:
        async with serve(monitored.pages, host=host, port=0):
            pass

    assert refused.value.remedy is not None
    assert "http.host" in refused.value.remedy


async def test_the_port_is_free_again_at_the_end(monitored: Monitored):
    async with serve(monitored.pages, host="127.0.0.1", port=kept_port()) as port:
        pass

    with pytest.raises(ClientConnectionError):
        async with ClientSession() as client:
            await client.get(f"http://127.0.0.1:{port}/healthz")
    async with serve(monitored.pages, host="127.0.0.1", port=port) as again:
        assert again == port


async def test_an_idle_connection_does_not_hold_up_the_end(monitored: Monitored):
    shown = serve(monitored.pages, host="127.0.0.1", port=0, shutdown_seconds=scaled(20))

    async with asyncio.timeout(USUAL_SECONDS), ClientSession() as client, shown as port:
        answer = await client.get(f"http://127.0.0.1:{port}/healthz")
        await answer.read()


async def said(port: int, sent: bytes) -> bytes:
    """All that the server answers to these bytes until it ends the connection."""
    async with asyncio.timeout(USUAL_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            return await reader.read()
        finally:
            writer.close()


HEADED = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


def port_of(monitored: Monitored) -> int:
    return int(monitored.url.rsplit(":", 1)[1])


async def test_headers_that_do_not_end_end_the_connection(monitored: Monitored):
    bounds = replace(HttpBounds(), idle_seconds=0.2)

    async with serve(monitored.pages, host="127.0.0.1", port=0, bounds=bounds) as port:
        assert await said(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n") == b""


async def test_a_connection_too_many_ends_the_oldest_and_is_served(monitored: Monitored):
    # only the limit on connections may end one here
    bounds = replace(HttpBounds(), idle_seconds=3600)
    served = serve(monitored.pages, host="127.0.0.1", port=0, bounds=bounds)
    async with served as port, asyncio.timeout(USUAL_SECONDS):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(bounds.connections)]
        try:
            answer = await said(port, b"GET /healthz HTTP/1.0\r\n\r\n")
            oldest, second = held[0][0], held[1]
            ended = await oldest.read()
            second[1].write(b"GET /healthz HTTP/1.0\r\n\r\n")
            kept = await second[0].read()
        finally:
            for _, writer in held:
                writer.close()

    assert answer.startswith(b"HTTP/1.0 200")
    assert ended == b""
    assert kept.startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"garbage\r\n\r\n", id="garbage"),
        pytest.param(HEADED + b"no colon\r\n\r\n", id="no header"),
        pytest.param(HEADED + b"X: " + b"x" * 20_000 + b"\r\n\r\n", id="long header"),
        pytest.param(HEADED + b"X: x\r\n" * 100 + b"\r\n", id="many headers"),
    ],
)
async def test_a_malformed_request_is_refused_and_is_no_error_in_the_log(
    monitored: Monitored, caplog: pytest.LogCaptureFixture, sent: bytes
):
    with caplog.at_level(logging.DEBUG):
        answer = await said(port_of(monitored), sent)

    assert answer.split(b" ")[1] == b"400"
    assert [each for each in caplog.records if each.levelno > logging.DEBUG] == []


@pytest.mark.parametrize("body", [b"Content-Length: 4\r\n\r\nbody", b"Content-Length: 9\r\n\r\n"])
async def test_a_body_is_refused(
    monitored: Monitored, caplog: pytest.LogCaptureFixture, body: bytes
):
    bounds = replace(HttpBounds(), discarding_seconds=0.2)
    with caplog.at_level(logging.DEBUG):
        async with serve(monitored.pages, host="127.0.0.1", port=0, bounds=bounds) as port:
            answer = await said(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + body)

    assert answer.split(b" ")[1] == b"413"
    assert [each for each in caplog.records if each.levelno > logging.DEBUG] == []


async def test_a_name_that_anybody_can_register_is_refused_but_for_liveness(client: ClientSession):
    rebound = {"Host": "rebound.example.com"}
    answers = {}
    for path in ("/", "/metrics", "/readyz", "/status.json", "/nothing", "/healthz"):
        async with client.get(path, headers=rebound) as answer:
            answers[path] = answer.status
            if path == "/":
                assert "http.allowed_hosts" in await answer.text()

    assert answers.pop("/healthz") == 200
    assert set(answers.values()) == {421}


async def test_a_name_of_the_configuration_is_served(monitored: Monitored):
    named = serve(monitored.pages, host="127.0.0.1", port=0, allowed_hosts=["status.example.com"])
    async with named as port, ClientSession() as session:
        host = {"Host": f"Status.example.com:{port}"}
        async with session.get(f"http://127.0.0.1:{port}/", headers=host) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("127.0.0.1:8080", True),
        ("10.1.2.3", True),
        ("[::1]:8080", True),
        ("localhost:8080", True),
        ("LOCALHOST.", True),
        ("replicator", True),
        ("replicator.data.svc:8080", True),
        ("replicator.data.svc.cluster.local", True),
        ("10-1-2-3.data.pod.cluster.local", True),
        ("ip-10-1-2-3.eu-west-1.compute.internal", True),
        ("a.example.com", True),
        ("example.com", False),
        ("notexample.com", False),
        ("127.0.0.1.attacker.test", False),
        ("localhost.attacker.test", False),
        ("attacker.test/localhost", False),
        ("[attacker.test]", False),
        ("", False),
    ],
)
def test_addresses_and_names_that_nobody_can_register_are_expected(host: str, served: bool):
    assert expected(host, ["*.example.com"]) == served
