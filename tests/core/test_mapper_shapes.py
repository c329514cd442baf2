"""Items in the documented shapes of object mappers: what `init` proposes takes all of them.

The data is made up; `expected` names columns whose proposal follows from how the mapper writes.
"""

from typing import Any

import pytest

from replicator.core.mapping.attribute_paths import parse_path
from replicator.core.proposal.propose_mapping import ProposedTarget, propose_table
from replicator.core.proposal.sample_fit import sample_fit
from replicator.core.stream_record import Image
from replicator.core.table_spec import ColumnSpec, KeyColumnSpec, SourceKey, TargetSpec
from replicator.core.values.column_types import parse_type
from tests.support.builders import table_mapping

ITEMS = 12
ISO = ("2026-01-02T03:04:05", "2026-02-03T04:05:06")
CUT = "timestamptz truncate"


def s(text: str) -> dict[str, str]:
    return {"S": text}


def n(number: object) -> dict[str, str]:
    return {"N": str(number)}


def either(number: int, *texts: str) -> dict[str, str]:
    return s(texts[number % len(texts)])


SHAPES: dict[str, tuple[Any, dict[str, str]]] = {
    "DynamoDBMapper (Java)": (
        lambda i: {"active": n(i % 2), "createdAt": s(f"{ISO[i % 2]}.123Z"), "version": n(i)},
        {"active": "boolean", "created_at": "timestamptz", "version": "numeric"},
    ),
    "enhanced client (Java)": (
        lambda i: {
            "createdAt": either(i, f"{ISO[0]}Z", f"{ISO[1]}.123Z", f"{ISO[0]}.123456789Z"),
            "born": s("1990-01-02"),
            "address": {"M": {"city": s("Turin")}},
            "enabled": {"BOOL": True},
        },
        {"created_at": CUT, "born": "date", "address": "jsonb", "enabled": "boolean"},
    ),
    "enhanced client (Kotlin)": (
        lambda i: {"at": s(f"{ISO[i % 2]}.12345{i % 10}Z"), "tags": {"L": [s("a")]}},
        {"at": CUT, "tags": "jsonb"},
    ),
    "Scanamo (Scala)": (
        lambda i: {"createdAt": n(1_760_000_000_000 + i), "shape": {"M": {"Circle": {"M": {}}}}},
        {"created_at": "timestamptz epoch_ms", "shape": "jsonb"},
    ),
    "attributevalue (Go)": (
        lambda i: {"CreatedAt": s(f"{ISO[i % 2]}.12345678{1 + i % 9}+02:00"), "Count": n(i)},
        {"created_at": CUT, "count": "numeric"},
    ),
    "guregu/dynamo (Go)": (
        lambda i: {"Expires": n(1_760_000_000 + i), "Time": s(f"{ISO[i % 2]}.5Z")},
        {"expires": "timestamptz epoch_s", "time": "timestamptz"},
    ),
    "Object Persistence Model (.NET)": (
        lambda i: {"IsActive": n(i % 2), "Updated": s(f"{ISO[i % 2]}.123Z"), "Version": n(i)},
        {"is_active": "boolean", "updated": "timestamptz"},
    ),
    "round-trip times (.NET)": (
        lambda i: {"Updated": s(f"{ISO[i % 2]}.123456{i % 10}Z"), "Local": s(f"{ISO[0]}.1234560")},
        {"updated": CUT, "local": "timestamp truncate"},
    ),
    "Dynamoid (Ruby)": (
        lambda i: {
            "created_at": n(f"{1_760_000_000 + i}.12345678{1 + i % 9}"),
            "ok": either(i, "t", "f"),
        },
        {"created_at": "timestamptz epoch_s truncate", "ok": "boolean"},
    ),
    "aws-record (Ruby)": (
        lambda i: {"day": s("2026-01-02"), "at": s(f"{ISO[i % 2]}+00:00"), "ttl": n(1_760_000_000)},
        {"day": "date", "at": "timestamptz", "ttl": "timestamptz epoch_s"},
    ),
    "PynamoDB (Python)": (
        lambda i: {"created": s(f"{ISO[i % 2]}.123456+0000"), "payload": s('{"a": 1}')},
        {"created": CUT, "payload": "text"},
    ),
    "boto3 (Python)": (
        lambda i: {"price": n("1.50"), "paid": either(i, "True", "False"), "codes": {"SS": ["a"]}},
        {"price": "numeric", "paid": "boolean", "codes": "text[]"},
    ),
    "dynamoose (JS)": (
        lambda i: {"createdAt": n(1_760_000_000_000 + i), "updatedAt": n(1_760_000_000_000)},
        {"created_at": "timestamptz epoch_ms", "updated_at": "timestamptz epoch_ms"},
    ),
    "ElectroDB (JS)": (
        lambda i: {"__edb_e__": either(i, "task", "employee"), "__edb_v__": s("1")},
        {"edb_e": "text", "edb_v": "text"},
    ),
    "DynamoDB Toolbox (JS)": (
        lambda i: {"_et": either(i, "Pokemon", "Trainer"), "_ct": s(f"{ISO[i % 2]}.123Z")},
        {"et": "text", "ct": "timestamptz"},
    ),
    "OneTable (JS)": (
        lambda i: {"_type": either(i, "User", "Account"), "created": s(f"{ISO[0]}.000Z")},
        {"type": "text", "created": "timestamptz"},
    ),
    "TypeDORM (JS)": (
        lambda i: {
            "__en": s("user"),
            "status": either(i, "on", "off"),
            "createdAt": n(1_760_000_000),
        },
        {"en": "text", "status": "text", "created_at": "timestamptz epoch_s"},
    ),
    "Laravel (PHP)": (
        lambda i: {"created_at": s(f"{ISO[i % 2]}+00:00"), "total": n(i) if i % 2 else s(f"{i}.5")},
        {"created_at": "timestamptz", "total": "numeric"},
    ),
    "serde_dynamo (Rust)": (
        lambda i: {
            "at": s(f"{ISO[i % 2]}.12345678{1 + i % 9}Z"),
            "note": {"NULL": True},
            "id": n(i),
        },
        {"at": CUT, "id": "numeric"},
    ),
}


@pytest.mark.parametrize("mapper", SHAPES)
def test_what_is_proposed_for_a_mapper_s_items_takes_all_of_them(mapper: str):
    shape, expected = SHAPES[mapper]
    images: list[Image] = [{"pk": s(f"k{number}"), **shape(number)} for number in range(ITEMS)]

    proposed = propose_table("things", SourceKey((("pk", "S"),)), images, set())

    fits = sample_fit(table_mapping(*(specified(target) for target in proposed.targets)), images)
    assert sum(fit.items for fit in fits) == sum(fit.fits for fit in fits) == ITEMS
    for target in proposed.targets:
        said = {
            column.name: " ".join(
                filter(None, (column.type, column.format, column.fraction.replace("reject", "")))
            )
            for column in target.columns
        }
        assert {name: said[name] for name in expected} == expected


def specified(target: ProposedTarget) -> TargetSpec:
    """The target as the configuration would say it."""
    return TargetSpec(
        target.name,
        when=target.when,
        key=tuple(KeyColumnSpec(column.name, column.path) for column in target.key),
        columns=tuple(
            ColumnSpec(
                column.name,
                parse_path(column.path),
                parse_type(column.type),
                column.format,
                transform=column.transform,
                fraction=column.fraction,
                words=column.words,
            )
            for column in target.columns
        ),
        rest=target.rest,
    )
