"""Planning of what a mapping may say and what items may hold, each beside its plain kind.

A cliff is a ratio: the CPU of planning the same changes under another mapping, or of changes whose
items hold something else under the same mapping. All variants take turns in one process, and the
least of their turns is compared, which a busy machine changes least.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.decoding.dynamodb_records import decode_page
from replicator.core.stream_record import StreamRecord
from tests.benchmarks.features import FEATURES, PLAIN, Feature, compiled
from tests.benchmarks.forms import DOCUMENT, HISTORY, TARGET, TYPED
from tests.benchmarks.load import base_orders, changed_pages, make_load
from tests.benchmarks.stages import READ_AT
from tests.support.scripted_streams.items import Item

RECORDS = 4000
BETWEEN = 4
"""Every fourth item or so holds what is unusual, where not all of them do."""
_PLAIN = TYPED.configured()

Change = Callable[[Item, int], None]
"""Changes an item in place; the number tells items apart."""


@dataclass(frozen=True, slots=True)
class Cliff:
    """A mapping and the items it meets; `kind` is the variant that it is compared with."""

    feature: Feature
    change: Change | None = None
    kind: str = PLAIN
    at_most: float = 2.0
    """The goal for its ratio."""


def _columns(**other: Any) -> Feature:
    return Feature({TARGET: {**_PLAIN, "columns": {**_PLAIN["columns"], **other}}})


def _without(*names: str) -> dict[str, Any]:
    return {name: kind for name, kind in _PLAIN["columns"].items() if name not in names}


def some(change: Change, between: int = BETWEEN) -> Change:
    """The change for one item of so many."""

    def changed(item: Item, number: int) -> None:
        if number % between == 0:
            change(item, number)

    return changed


def number_set(item: Item, number: int) -> None:
    """Put a set of numbers into the nested value."""
    item["meta"]["M"]["sizes"] = {"NS": ["3", "1.5", str(number)]}


def binary_set(item: Item, _: int) -> None:
    """Put a set of binaries into the nested value."""
    item["meta"]["M"]["parts"] = {"BS": ["AQI=", "AAE="]}


def escapes(item: Item, _: int) -> None:
    """Put a control character and an escape into the nested value."""
    item["meta"]["M"]["line"] = {"S": 'first\x01 "quoted" \\ second'}


def exponents(item: Item, number: int) -> None:
    """Write a number of the nested value in another form."""
    item["meta"]["M"]["weight"] = {"N": f"{number}.50E2"}


def brackets(item: Item, number: int) -> None:
    """Name a member of the nested value with brackets."""
    item["meta"]["M"][f"a[{number % 7}]"] = {"N": "1"}


def unmapped(item: Item, _: int) -> None:
    """Give the item an attribute that nothing takes."""
    item["campaign"] = {"S": "autumn"}


def bank_account(item: Item, number: int) -> None:
    """Give the item personal data that nothing takes."""
    item["iban"] = {"S": f"DE{number:020d}"}


def number_as_text(item: Item, number: int) -> None:
    """Feed a text column with a number."""
    item["status"] = {"N": str(number)}


def list_as_array(item: Item, _: int) -> None:
    """Feed an array with a list."""
    item["tags"] = {"L": [{"S": "gift"}, {"S": "express"}]}


def scalar_as_json(item: Item, number: int) -> None:
    """Feed a jsonb column with a number."""
    item["meta"] = {"N": str(number)}


def long_number(item: Item, number: int) -> None:
    """Give a number more zeros than its canonical form has."""
    item["total"] = {"N": f"{number}.10"}


def nested(item: Item, number: int) -> None:
    """Make the nested value one of 10 KB."""
    item["meta"]["M"]["lines"] = {
        "L": [
            {
                "M": {
                    "sku": {"S": f"SKU-{number:06d}-{line:03d}"},
                    "title": {"S": "a thing with a name that people read, für alle"},
                    "price": {"N": f"{line}.25"},
                    "taxed": {"BOOL": True},
                    "sizes": {"L": [{"N": "1"}, {"N": "2"}]},
                }
            }
            for line in range(50)
        ]
    }


def nested_with_numbers(item: Item, number: int) -> None:
    """Make the nested value one of 10 KB, with a set of numbers in one of four."""
    nested(item, number)
    some(number_set)(item, number)


_DOCUMENT = Feature({TARGET: DOCUMENT.configured()})
_HASHED = {"personal": {"customer": "hash"}}
_DEEP = Feature(
    {
        TARGET: {
            **_PLAIN,
            "columns": {
                **_without("meta"),
                "campaign": {"from": "meta.campaign.id", "type": "bigint"},
                "weight": {"from": "meta.weights[0]", "type": "bigint"},
                "channel": {"from": "meta.channel", "type": "text"},
            },
        }
    }
)
MAPPINGS: dict[str, Cliff] = {
    name: Cliff(feature, at_most=2.5 if name in ("history", "a child table of tags") else 2.0)
    for name, feature in FEATURES.items()
} | {
    "three deep paths": Cliff(_DEEP),
    "`columns: auto` before columns exist": Cliff(
        Feature({TARGET: {"columns": "auto", "rest": "extra"}}, appeared=False)
    ),
    "`personal: drop` of an unmapped attribute": Cliff(
        Feature({TARGET: _PLAIN}, {"personal": {"iban": "drop"}}), bank_account
    ),
    "`personal: mask` inside a nested value": Cliff(
        Feature({TARGET: _PLAIN}, {"personal": {"meta.campaign.name": "mask"}})
    ),
    "`when` on an attribute beside `personal`": Cliff(
        Feature({TARGET: {**_PLAIN, "when": {"status": {"exists": True}}}}, _HASHED)
    ),
    "history beside `personal`": Cliff(
        Feature({TARGET: HISTORY.configured()}, _HASHED), at_most=2.5
    ),
    "text fed by N, all": Cliff(Feature({TARGET: _PLAIN}), number_as_text),
    "list to text[], all": Cliff(Feature({TARGET: _PLAIN}), list_as_array),
}
ITEMS: dict[str, Cliff] = {
    **{
        f"{name}: {what}": Cliff(feature, some(change), kind, 1.5)
        for name, kind, feature in (
            ("typed", PLAIN, FEATURES[PLAIN]),
            ("document", "document mode", _DOCUMENT),
        )
        for what, change in (
            ("number set in a nested value, 1 of 4", number_set),
            ("binary set in a nested value, 1 of 4", binary_set),
            ("escapes in a nested value, 1 of 4", escapes),
            ("number not canonical, nested, 1 of 4", exponents),
            ("name with brackets, nested, 1 of 4", brackets),
            ("number not canonical, 1 of 4", long_number),
            ("text fed by N, 1 of 4", number_as_text),
            ("list for text[], 1 of 4", list_as_array),
            ("number for jsonb, 1 of 4", scalar_as_json),
            ("an unmapped attribute, 1 of 4", unmapped),
        )
    },
    "typed: an unmapped attribute, 1 of 100": Cliff(
        FEATURES[PLAIN], some(unmapped, 100), PLAIN, 1.5
    ),
    "document: 10 KB nested": Cliff(_DOCUMENT, nested, "document mode", float("inf")),
    "document: 10 KB nested with number sets": Cliff(
        _DOCUMENT, nested_with_numbers, "document: 10 KB nested", 1.5
    ),
}
CLIFFS = MAPPINGS | ITEMS


@dataclass(slots=True)
class Turns:
    """The microseconds of CPU a record took, turn by turn."""

    microseconds: list[float] = field(default_factory=list)


def run_cliffs(directory: Path, records: int, rounds: int, only: str = "") -> dict[str, Turns]:
    """Plan every variant once a round, in turn; `only` are those whose names hold it."""
    records = min(records, RECORDS)
    wanted = {name for name in CLIFFS if only in name}
    wanted |= {CLIFFS[name].kind for name in wanted}
    wanted |= {CLIFFS[name].kind for name in wanted}
    chosen = {name: cliff for name, cliff in CLIFFS.items() if name in wanted}
    mappings = {name: compiled(directory, cliff.feature) for name, cliff in chosen.items()}
    pages: dict[Change | None, list[list[StreamRecord]]] = {}
    for cliff in chosen.values():
        if cliff.change not in pages:
            pages[cliff.change] = pages_of(cliff.change, records)
    gc.freeze()
    found = {name: Turns() for name in chosen}
    for _ in range(rounds):
        for name, cliff in chosen.items():
            seconds = _seconds(pages[cliff.change], mappings[name])
            found[name].microseconds.append(seconds / records * 1e6)
    gc.unfreeze()
    return found


def pages_of(change: Change | None, records: int) -> list[list[StreamRecord]]:
    """The pages of a load whose items are changed so."""
    load = make_load("mixed", records, base_orders(records))
    bodies = changed_pages(load, change)
    return [decode_page(b'{"Records":' + body + b"}").records for body in bodies]


def cliff_rows(found: Mapping[str, Turns]) -> list[list[str]]:
    """For each variant the microseconds, its kind, the ratio of the least turns, and the goal."""
    rows = [["variant", "plan, CPU µs", "beside", "ratio", "goal"]]
    for name, turns in found.items():
        cliff = CLIFFS[name]
        least, other = min(turns.microseconds), min(found[cliff.kind].microseconds)
        ratio = least / other
        goal = "-" if cliff.at_most == float("inf") else f"{cliff.at_most:.1f}"
        verdict = goal if ratio <= cliff.at_most else f"{goal}, missed"
        rows.append([name, f"{least:.1f}", cliff.kind, f"{ratio:.2f}", verdict])
    return rows


def _seconds(pages: Sequence[Sequence[StreamRecord]], mapping: TableMapping) -> float:
    started = process_time()
    for page in pages:
        plan_batch(page, mapping, read_at=READ_AT)
    return process_time() - started
