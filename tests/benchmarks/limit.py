"""The limit: psql copies each batch into a staging table and writes it with two statements."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.forms import TYPED, Form, require_equal
from tests.benchmarks.load import Load
from tests.benchmarks.machine import Machine
from tests.benchmarks.processes import tree_cpu_seconds
from tests.benchmarks.rows import KEY, PAGE_RECORDS, Row
from tests.benchmarks.samples import Sample

BEGIN = """
\\set QUIET on
\\set ON_ERROR_STOP on
\\pset format unaligned
\\pset tuples_only on
set client_min_messages = warning;
set enable_hashjoin = off;
set enable_mergejoin = off;
create temp table put ({definitions}) on commit delete rows;
create temp table gone (pk text, sk text) on commit delete rows;
select extract(epoch from clock_timestamp());
"""
BATCH = """insert into orders ({names})
select {names}
  from put
    on conflict (pk, sk) do update
       set ({others}) = row({given});
delete from orders as t
 using gone
 where t.pk = gone.pk
   and t.sk = gone.sk;
commit;
"""
VERSIONS = """insert into replicator.row_version
       (target_id, key, generation, sequence_number, deleted, snapshot_id)
select (select id from replicator.target_claim),
       substr(sha256(convert_to(row(pk, sk)::text, 'UTF8')), 1, 16), 0, 0, false, 1
  from put
    on conflict (target_id, key) do update
       set snapshot_id = excluded.snapshot_id
     where row_version.snapshot_id is distinct from excluded.snapshot_id;
"""
END = "select extract(epoch from clock_timestamp());\n"


def write_scripts(
    directory: Path, load: Load, *, connections: int, form: Form = TYPED
) -> list[Path]:
    """One script for each connection; the keys are shared out."""
    paths = []
    begin, batch = _statements(form)
    for part in range(connections):
        path = directory / f"limit-{form.name}-{load.mix}-{connections}-{part}.sql"
        with path.open("w") as script:
            script.write(begin)
            for rows, gone in load.batches(parts=connections, part=part):
                script.write("begin;\ncopy put from stdin;\n")
                script.writelines(map(_line, map(form.cells, rows)))
                script.write("\\.\ncopy gone from stdin;\n")
                script.writelines(map(_line, gone))
                script.write("\\.\n" + batch)
            script.write(END)
        paths.append(path)
    return paths


def write_snapshot_script(directory: Path, orders: Sequence[Row]) -> Path:
    """One script that writes these orders with a version of each, as a snapshot does."""
    path = directory / "limit-snapshot.sql"
    begin, batch = _statements(TYPED)
    with path.open("w") as script:
        script.write(begin)
        for start in range(0, len(orders), PAGE_RECORDS):
            script.write("begin;\ncopy put from stdin;\n")
            script.writelines(
                _line(order.cells()) for order in orders[start : start + PAGE_RECORDS]
            )
            script.write("\\.\n" + VERSIONS + batch)
        script.write(END)
    return path


async def run_limit(
    machine: Machine, template: str, scripts: list[Path], *, records: int, expected: str
) -> Sample:
    """From the first statement of the first connection to the last COMMIT."""
    async with machine.database(template) as dsn:
        before = tree_cpu_seconds(machine.postmaster)
        processes = [
            await asyncio.create_subprocess_exec(
                *(machine.psql, "--no-psqlrc", "--file", script, dsn),
                stdout=asyncio.subprocess.PIPE,
            )
            for script in scripts
        ]
        printed = [(await process.communicate())[0].split() for process in processes]
        if any(process.returncode for process in processes):
            raise RuntimeError("psql failed")
        used = tree_cpu_seconds(machine.postmaster) - before
        await require_equal(dsn, expected)
    starts, ends = [float(lines[0]) for lines in printed], [float(lines[-1]) for lines in printed]
    return Sample(records, max(ends) - min(starts), postgres_seconds=used)


def _statements(form: Form) -> tuple[str, str]:
    """What a script begins with, and how it writes a batch."""
    others = [name for name in form.names if name not in KEY]
    definitions = ", ".join(f"{name} {kind}" for name, kind in form.types.items())
    batch = BATCH.format(
        names=", ".join(form.names),
        others=", ".join(others),
        given=", ".join(f"excluded.{name}" for name in others),
    )
    return BEGIN.format(definitions=definitions), batch


def _line(cells: Iterable[Any]) -> str:
    return "\t".join(map(_cell, cells)) + "\n"


def _cell(value: Any) -> str:
    match value:
        case None:
            return "\\N"
        case bool():
            return "t" if value else "f"
        case bytes():
            return f"\\\\x{value.hex()}"
        case list():
            return "{" + ",".join(map(_member, value)) + "}"
        case datetime():
            return value.isoformat()
        case str():
            return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        case _:
            return str(value)


def _member(value: Any) -> str:
    """An element of an array; the texts of the loads need no escape."""
    return f'"\\\\\\\\x{value.hex()}"' if isinstance(value, bytes) else f'"{value}"'
