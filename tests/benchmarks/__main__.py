"""Measure, print, and write docs/benchmarks.md: `python -m tests.benchmarks --help`."""

import argparse
import asyncio
import shlex
import sys

import asyncpg

from tests.benchmarks import (
    cliffs,
    exports,
    features,
    growth,
    kinesis,
    report,
    snapshot,
    stages,
    tables,
    throughput,
)
from tests.benchmarks.forms import TYPED
from tests.benchmarks.interpreters import interpreters
from tests.benchmarks.latency import run_latency
from tests.benchmarks.load import Mix, base_orders, make_load
from tests.benchmarks.machine import started, with_durable_postgres
from tests.benchmarks.resting import run_idle, run_trickle
from tests.benchmarks.samples import Sample
from tests.benchmarks.throughput import LIMIT, OTHER_DATA, PEER, Stand, interleaved, say
from tests.support.warm_start import ROOT

MIXES: tuple[Mix, ...] = ("mixed", "inserts", "hot")
GROWTH = {
    "records": growth.by_records,
    "rows": growth.by_rows,
    "shards": growth.by_shards,
    "distance": growth.by_round_trip,
    "sizes": growth.by_item_size,
    "tables": tables.by_tables,
}
IDLE_SHARDS, TRICKLE_SHARDS = 100, 200
TRICKLE_A_SECOND = 30
PACES = {5: 20.0, 100: 15.0, 1000: 15.0}
LOADS = ("snapshot", "exports", "kinesis")
RATES = (*MIXES, *OTHER_DATA, "durable")
PARTS = ("stages", "cliffs", "features", *RATES, *LOADS, "latency", "idle", "trickle", *GROWTH)
ON_REQUEST = ("interpreters",)
"""Parts that are measured only when they are named."""
PAGE = ROOT / "docs/benchmarks.md"
USUAL = "botocore and TypeDeserializer"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        help=f"which, of {', '.join((*PARTS, *ON_REQUEST))}; none: all but the last",
    )
    parser.add_argument("--rounds", type=int, default=5, help="every contender runs so often")
    parser.add_argument("--records", type=int, default=100_000, help="of one run")
    parser.add_argument("--only", default="", help="contenders whose names hold this")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        help="an interpreter that has all that a worker imports, for the part `interpreters`",
    )
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    options = parser.parse_args()
    unknown = set(options.parts) - {*PARTS, *ON_REQUEST}
    if unknown:
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    parts = options.parts or PARTS
    tables: dict[str, list[str]] = {}
    async with started() as machine:
        stand = Stand(machine, options.records)
        for part in parts:
            say(f"{part}:")
            tables[part] = await _part(part, stand, options)
            say("\n".join(tables[part]))
        connection = await asyncpg.connect(machine.postgres.dsn)
        server = (await connection.fetchval("select version()")).split(" on ")[0]
        await connection.close()
        about = report.machine_lines(
            shlex.join(["make", "bench", f"ARGS={shlex.join(sys.argv[1:])}"]),
            in_memory=machine.in_memory,
            postgres=server,
        )
    say("\n".join(about))
    if options.write:
        report.write_page(PAGE, tables | {"machine": about})


async def _part(part: str, stand: Stand, options: argparse.Namespace) -> list[str]:
    if part in RATES:
        return await _rates(part, stand, options)
    match part:
        case "stages":
            return _stages(options)
        case "cliffs":
            found = cliffs.run_cliffs(
                stand.machine.directory, options.records, options.rounds, options.only
            )
            return report.table(cliffs.cliff_rows(found))
        case "features":
            costs = await features.run_features(stand.machine, options.records, options.rounds)
            return report.feature_table(costs, plain=features.PLAIN)
        case "interpreters":
            under = interpreters(options.python)
            chosen = await throughput.contenders_by_interpreter(stand, under)
            samples = await interleaved(chosen, options.rounds)
            return report.throughput_table(samples, limit=LIMIT, peer=under[0].name)
        case "snapshot" | "exports" | "kinesis":
            return await _loads(part, stand, options.rounds)
        case "latency":
            return await _latency(stand)
        case "idle":
            template = await stand.template(TYPED)
            rest = await run_idle(stand.machine, template, TYPED, shards=IDLE_SHARDS, seconds=20)
            return report.rest_table([rest])
        case "trickle":
            template = await stand.template(TYPED)
            trickle = await run_trickle(
                *(stand.machine, template, TYPED),
                shards=TRICKLE_SHARDS,
                a_second=TRICKLE_A_SECOND,
                seconds=20,
            )
            return report.trickle_table([trickle])
        case _:
            samples = await interleaved(await GROWTH[part](stand), options.rounds)
            return report.growth_table(samples)


async def _loads(part: str, stand: Stand, rounds: int) -> list[str]:
    """Snapshots beside psql, exports beside scans, or Kinesis beside DynamoDB Streams."""
    if part == "snapshot":
        samples = await interleaved(await snapshot.contenders(stand), rounds)
        return report.throughput_table(samples, limit=LIMIT, peer=None)
    if part == "exports":
        async with exports.contenders(stand) as chosen:
            return report.cpu_table(await interleaved(chosen, rounds), beside=exports.SCAN)
    samples = await interleaved(await kinesis.contenders(stand), rounds)
    return report.cpu_table(samples, beside=kinesis.GUARDED)


async def _latency(stand: Stand) -> list[str]:
    template = await stand.template(TYPED)
    return report.latency_table(
        [
            await run_latency(stand.machine, template, TYPED, a_second=pace, seconds=seconds)
            for pace, seconds in PACES.items()
        ]
    )


async def _rates(part: str, stand: Stand, options: argparse.Namespace) -> list[str]:
    """A mix of changes of orders, a load of other data, or the mixed one on durable storage."""
    if part == "durable":
        async with with_durable_postgres(stand.machine) as machine:
            chosen = await throughput.durable_contenders(Stand(machine, options.records))
            samples = await interleaved(chosen, options.rounds)
            return report.throughput_table(samples, limit=LIMIT, peer=None)
    if part in OTHER_DATA:
        chosen = await throughput.contenders_of_other_data(stand, OTHER_DATA[part])
    else:
        [mix] = [mix for mix in MIXES if mix == part]
        chosen = await throughput.contenders(stand, mix, options.only)
    samples = await interleaved(chosen, options.rounds)
    return report.throughput_table(samples, limit=LIMIT, peer=PEER if PEER in samples else None)


def _stages(options: argparse.Namespace) -> list[str]:
    records = min(options.records, 5000)
    load = make_load("mixed", records, base_orders())
    steps = stages.steps(load.pages()[0], stages.mapping_of(TYPED))
    samples: dict[str, list[Sample]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            samples[name].append(stages.measure(step, records))
    return report.stage_table(samples, peer=USUAL)


main()
