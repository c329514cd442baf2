"""Plan whole items of a stranger's, large ones, under a mapping of every kind.

A program of its own, so that an item that never ends can be ended, and so that one that takes more
memory than a worker has fails here: what is planned and handed over may be so many times the item.

`python -m tests.core.adversarial_items N` tries each mapping with one item of N, the next with the
ones that follow.
"""

import json
import resource
import sys
from collections.abc import Iterator

from replicator.core.mapping.child_tables import ROWS_SIZE_MAX
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.decoding.dynamodb_records import decode_page
from replicator.core.stream_record import StreamRecord
from replicator.core.table_spec import (
    ChildSpec,
    ColumnSpec,
    Masking,
    SourceKey,
    TableSpec,
    TargetSpec,
)
from replicator.core.values.column_options import TimeFormat, Transform
from replicator.core.values.column_types import ROWS, parse_type
from replicator.errors import ConfigurationError
from tests.core.cpu_time import one_call

SIZE = 100_000
"""A quarter of an item's: what grows with the square of it does not end here either."""
TIMES_MAX = 100
"""Characters handed over for each of the item."""
MEMORY_MAX = 1536 * 1024 * 1024
KEY = SourceKey((("pk", "S"),))
KEYS = ("k", "k" * 2000)
"""A key has 2 KB at most, and every child row repeats it."""
TRANSFORMS: tuple[Transform, ...] = ("lower", "number", "json", "empty_null", "boolean")
TRANSFORMED = ("text", "numeric", "jsonb", "boolean", "text[]", "numeric[]", "jsonb[]")
FORMATS: tuple[TimeFormat, ...] = ("iso8601", "epoch_ms", "epoch_ns")
UNITS = ["0", "9.", " ", "a", "[", "{", '"', "\\", "1e131071,", "\0", "ŉ", "\ud800"]
ELEMENTS = [{"NULL": True}, {"S": "1e131071"}, {"N": "1e125"}, {"M": {"a": {"S": "x"}}}, {"X": 1}]
DEPTHS = (32, 300)
LONG_NAME = "n" * 90


def strings() -> Iterator[str]:
    for unit in UNITS:
        yield unit * (SIZE // len(unit))
    yield "[" + ",".join(["1e131071"] * (SIZE // 9)) + "]"


def values() -> Iterator[str]:
    """Values as JSON, each about as large as an item may be."""
    for text in strings():
        yield written({"S": text})
    for number in ("1" * SIZE, "0." + "1" * SIZE, "1e131071"):
        yield written({"N": number})
    yield written({"B": "AAA!" * (SIZE // 4)})
    yield written({"SS": ["a" * 900 + str(place) for place in range(SIZE // 910)]})
    yield written({"NS": [f"{place}e125" for place in range(SIZE // 10)]})
    for element in ELEMENTS:
        count = SIZE // len(written(element))
        yield written({"L": [element] * count})
        yield written({"M": {str(place): element for place in range(count)}})
    for depth in DEPTHS:
        yield '{"M":{"a":' * depth + '{"S":"x"}' + "}}" * depth
        yield '{"L":[' * depth + '{"S":"\\ud800"}' + "]}" * depth
        inside = ",".join(f'"{place}":{{"S":""}}' for place in range(SIZE // 20))
        way = f'{{"M":{{"{LONG_NAME}":' * depth
        yield f'{way}{{"M":{{{inside},"z":{{"X":1}}}}}}' + "}}" * depth


def written(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def of_one_column() -> Iterator[tuple[str, ColumnSpec]]:
    """A column of every type and its array; with formats, and with every transform."""
    for name in ROWS:
        for text in (name, f"{name}[]"):
            kind = parse_type(text)
            yield text, ColumnSpec("v", ("v",), kind)
            for form in FORMATS if kind.row.timed else ():
                column = ColumnSpec("v", ("v",), kind, format=form, fraction="truncate")
                yield f"{text} {form}", column
    for text in TRANSFORMED:
        for transform in TRANSFORMS:
            words = (("Y", True), ("N", False)) if transform == "boolean" else ()
            kind = parse_type(text)
            column = ColumnSpec("v", ("v",), kind, transform=(transform,), words=words)
            yield f"{text} {transform}", column


def of_a_target() -> Iterator[tuple[str, TargetSpec]]:
    text, numeric, jsonb = map(parse_type, ("text", "numeric", "jsonb"))
    of = "public.t"
    for label, column in of_one_column():
        yield label, TargetSpec(of, columns=(column,))
    yield "document with history", TargetSpec(of, history="public.h")
    yield "automatic", TargetSpec(of, columns=(), rest="r", auto=True)
    stray = ColumnSpec("v", ("v",), text, other_types="rest")
    yield "strays", TargetSpec(of, columns=(stray,), rest="r", auto=True)
    paths = [ColumnSpec(f"c{n}", ("v", *("a",) * n), jsonb) for n in range(1, 30)]
    paths += [ColumnSpec(f"d{n}", ("v", n), text, on_invalid="null") for n in range(30)]
    yield "paths", TargetSpec(of, columns=tuple(paths))
    when = {"any": [{"v": {"gt": 1}}, {"v": {"begins_with": "a"}}, {"v.a": {"in": ["a", 1]}}]}
    yield "when", TargetSpec(of, columns=(), when=when)
    parts = tuple(ColumnSpec(name, (), text, part=name) for name in ("a", "b", "c"))
    yield "split", TargetSpec(of, columns=parts, split=(("v", "{a}aa{b}0{c}a"),))
    children = {
        "numbers": ColumnSpec("w", ("w",), numeric, transform=("number",)),
        "texts": ColumnSpec("w", ("w",), text),
        "documents": ColumnSpec("w", ("w",), jsonb, transform=("json",)),
    }
    for label, column in children.items():
        child = ChildSpec("public.c", ("v",), value=column)
        yield f"child rows of {label}", TargetSpec(of, columns=(), children=(child,))
    child = ChildSpec("public.c", ("v",), columns=(ColumnSpec("a", ("a",), text),), rest="r")
    yield "child rows of maps", TargetSpec(of, columns=(), children=(child,))
    named = ChildSpec("public.c", ("v",), value=ColumnSpec("w", ("w",), jsonb), map_key="name")
    yield "child rows by name", TargetSpec(of, columns=(), children=(named,))


def tables() -> Iterator[tuple[str, TableSpec]]:
    for label, target in of_a_target():
        yield label, TableSpec("t", "t", (target,))
    target = TargetSpec("public.t", history="public.h")
    hidden: tuple[tuple[str, Masking], ...] = (("v", "hash"), ("v.a", "mask"), ("v[0]", "drop"))
    yield "personal", TableSpec("t", "t", (target,), personal=hidden[:1], salt=b"s" * 32)
    yield "personal inside", TableSpec("t", "t", (target,), personal=hidden[1:], salt=b"s" * 32)
    yield "time to live", TableSpec("t", "t", (target,), expire_attribute="v")


def mappings() -> Iterator[tuple[str, TableMapping]]:
    """Every mapping that is one: not every type has every transform."""
    for label, spec in tables():
        try:
            yield label, compile_table(spec, KEY)
        except ConfigurationError:
            continue


def record_of(key: str, value: str) -> StreamRecord:
    image = f'{{"pk":{{"S":"{key}"}},"v":{value}}}'
    change = (
        f'{{"Keys":{{"pk":{{"S":"{key}"}}}},"SequenceNumber":"1","NewImage":{image},'
        f'"OldImage":{image}}}'
    )
    body = f'{{"Records":[{{"eventName":"MODIFY","dynamodb":{change}}}]}}'
    [record] = decode_page(body.encode("utf-8", "surrogatepass")).records
    return record


def characters(record: StreamRecord, mapping: TableMapping) -> int:
    """Characters that are handed to PostgreSQL for a record."""
    plan = plan_batch([record], mapping, read_at=1.0)
    assert sum(plan.outcomes.values()) == 1
    rows = [row for writes in plan.writes for row in (*writes.upserted.rows, *writes.appends)]
    for writes in plan.writes:
        for children in writes.upserted.children:
            rows += [row for of_table in children for row in of_table]
    return sum(len(cell) for row in rows for cell in row if cell is not None)


def main(one_in: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    items = [(key, record_of(key, value), value[:40]) for value in values() for key in KEYS]
    tried = []
    for place, (label, mapping) in enumerate(mappings()):
        keys = KEYS if mapping.targets[0].children else KEYS[:1]
        met = [item for item in enumerate(items) if item[1][0] in keys]
        for number, (_, record, value) in met[place % one_in :: one_in]:
            # of a hang, its place
            sys.stderr.write(f"{label}: item {number}, {value!r}\n")
            one_call()
            found = characters(record, mapping)
            if found > max(TIMES_MAX * SIZE, ROWS_SIZE_MAX):
                raise SystemExit(f"{label}: {found} characters of {value!r}")
        tried.append(label)
    sys.stdout.write("\n".join(tried))


if __name__ == "__main__":
    main(one_in=int(sys.argv[1]))
