"""Records a second: the limit, the worker in several shapes and the peer take turns."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.benchmarks import limit, peer, worker
from tests.benchmarks.forms import (
    ARTICLES_DOCUMENT,
    ARTICLES_TYPED,
    DOCUMENT,
    HISTORY,
    LARGE_DOCUMENT,
    LARGE_TYPED,
    TYPED,
    WITH_REST,
    Form,
    expect,
    make_template,
)
from tests.benchmarks.interpreters import Interpreter
from tests.benchmarks.load import Load, Mix, base_orders, base_rows, make_load
from tests.benchmarks.machine import Machine, Served
from tests.benchmarks.rows import KEY, Row
from tests.benchmarks.samples import Sample
from tests.benchmarks.source_speed import run_source

Contender = Callable[[], Awaitable[Sample]]
LIMIT = "psql, 1 connection"
LIMIT_TWICE = "psql, 2 connections"
PEER = "Lambda handler, bulk"
POLLER = "boto3 GetRecords, bulk"
SHARDS = 16
PEER_PART = 10
"""The peers get this part of the records, or a round would be theirs alone."""
OTHER_DATA: dict[str, tuple[Form, Form]] = {
    "types": (ARTICLES_TYPED, ARTICLES_DOCUMENT),
    "nested": (LARGE_TYPED, LARGE_DOCUMENT),
}
"""Loads of other data than orders, as columns and as documents."""


@dataclass(slots=True)
class Stand:
    """A machine, its templates and the base rows, made once."""

    machine: Machine
    records: int
    base: dict[int, Row] = field(default_factory=base_orders)
    templates: dict[str, str] = field(default_factory=dict)

    async def template(self, form: Form) -> str:
        if form.name not in self.templates:
            table = self.machine.new_name("described")
            self.machine.source.table(table, key=KEY)
            self.templates[form.name] = await make_template(
                self.machine, form, self.base.values(), table
            )
        return self.templates[form.name]


async def interleaved(contenders: dict[str, Contender], rounds: int) -> dict[str, list[Sample]]:
    """Every contender once a round, in turn, so that a slow minute meets them all."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            sample = await run()
            samples[name].append(sample)
            say(f"  round {number + 1}: {name}: {sample.rate:,.0f} records/s")
    return samples


async def contenders(stand: Stand, mix: Mix, wanted: str) -> dict[str, Contender]:
    """All contenders of a mix whose name holds `wanted`, ready to run."""
    load = make_load(mix, stand.records, stand.base)
    one = stand.machine.serve(load)
    found = await _limit_and_workers(stand, load, one)
    if mix == "mixed":
        found |= await _other_forms(stand, load, one)
        found |= await _peers(stand)
        found["source alone"] = partial(run_source, stand.machine, one)
    return {name: run for name, run in found.items() if wanted in name or name == LIMIT}


async def durable_contenders(stand: Stand) -> dict[str, Contender]:
    """The limit and the workers of the mixed load, on a machine whose PostgreSQL is durable."""
    load = make_load("mixed", stand.records, stand.base)
    return await _limit_and_workers(stand, load, stand.machine.serve(load))


async def contenders_of_other_data(stand: Stand, forms: tuple[Form, Form]) -> dict[str, Contender]:
    """The limit, one worker and the peers, each with columns and with documents."""
    machine, kind = stand.machine, forms[0].kind
    records = stand.records // kind.records_divisor
    its = Stand(machine, records, base_rows(kind))
    load = make_load("mixed", records, its.base, kind)
    part = make_load("mixed", records // PEER_PART, its.base, kind)
    served, pages = machine.serve(load), peer.write_pages(machine.directory, part)
    limits: dict[str, Contender] = {}
    workers: dict[str, Contender] = {}
    peers: dict[str, Contender] = {}
    for form in forms:
        template, said = await its.template(form), "" if form.columns else ", document"
        expected = await expect(machine, form, template, load.ends.values())
        scripts = limit.write_scripts(machine.directory, load, connections=1, form=form)
        limits[LIMIT + said] = partial(
            limit.run_limit, machine, template, scripts, records=records, expected=expected
        )
        workers["worker, 1 shard" + said] = partial(
            worker.run_workers, machine, template, served, form, expected=expected
        )
        left = await expect(machine, form, template, part.ends.values())
        for name, way in ((PEER, "bulk"), ("Lambda handler, COPY", "copy")):
            peers[name + said] = partial(
                peer.run_usual,
                *(machine, template, form.name, [way, str(kind.page_records), *pages]),
                records=len(part.changes),
                expected=left,
            )
    return limits | workers | peers


async def contenders_by_interpreter(
    stand: Stand, interpreters: Sequence[Interpreter]
) -> dict[str, Contender]:
    """One worker under each interpreter, beside the limit."""
    load = make_load("mixed", stand.records, stand.base)
    template = await stand.template(TYPED)
    expected = await expect(stand.machine, TYPED, template, load.ends.values())
    served = stand.machine.serve(load)
    scripts = limit.write_scripts(stand.machine.directory, load, connections=1)
    found: dict[str, Contender] = {
        LIMIT: partial(
            limit.run_limit,
            *(stand.machine, template, scripts),
            records=stand.records,
            expected=expected,
        )
    }
    for interpreter in interpreters:
        found[interpreter.name] = partial(
            worker.run_workers,
            *(stand.machine, template, served, TYPED),
            expected=expected,
            python=interpreter.path,
        )
    return found


async def _limit_and_workers(stand: Stand, load: Load, one: Served) -> dict[str, Contender]:
    """The limit on one and two connections, and workers with one shard and with many."""
    machine, found = stand.machine, dict[str, Contender]()
    template = await stand.template(TYPED)
    expected = await expect(machine, TYPED, template, load.ends.values())
    for name, connections in ((LIMIT, 1), (LIMIT_TWICE, 2)):
        scripts = limit.write_scripts(machine.directory, load, connections=connections)
        found[name] = partial(
            limit.run_limit, machine, template, scripts, records=stand.records, expected=expected
        )
    many = machine.serve(load, shards=SHARDS)
    shapes = {
        "worker, 1 shard": (one, 1),
        f"worker, {SHARDS} shards": (many, 1),
        f"2 workers, {SHARDS} shards": (many, 2),
    }
    for name, (served, count) in shapes.items():
        found[name] = partial(
            worker.run_workers,
            *(machine, template, served, TYPED),
            expected=expected,
            workers=count,
        )
    return found


async def _other_forms(stand: Stand, load: Load, served: Served) -> dict[str, Contender]:
    found: dict[str, Contender] = {}
    for form in (DOCUMENT, WITH_REST, HISTORY):
        template = await stand.template(form)
        expected = await expect(stand.machine, form, template, load.ends.values())
        found[f"worker, 1 shard, {form.name}"] = partial(
            worker.run_workers, stand.machine, template, served, form, expected=expected
        )
    return found


async def _peers(stand: Stand) -> dict[str, Contender]:
    part = make_load("mixed", stand.records // PEER_PART, stand.base)
    template = await stand.template(TYPED)
    pages = peer.write_pages(stand.machine.directory, part)
    served = stand.machine.serve(part)
    expected = await expect(stand.machine, TYPED, template, part.ends.values())
    ways = {
        PEER: ["bulk", "1000", *pages],
        "Lambda handler, bulk, events of 100": ["bulk", "100", *pages],
        "Lambda handler, COPY": ["copy", "1000", *pages],
        "Lambda handler, row by row": ["row", "1000", *pages],
        POLLER: peer.poll_words(stand.machine, served),
    }
    return {
        name: partial(
            peer.run_usual,
            *(stand.machine, template, "orders", words),
            records=len(part.changes),
            expected=expected,
        )
        for name, words in ways.items()
    }


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
