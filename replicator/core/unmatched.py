"""Items that no target takes: counted, and set aside where the table says so. Pure."""

from replicator.core.ledger import DeadLetter, ItemKey, Ledger
from replicator.core.mapping import TableMapping
from replicator.errors import Rejected

UNMATCHED = "(unmatched)"
"""Stands where a dead letter names its target."""
NO_TARGET = "the item belongs to no target: no `when` of the table takes it"


def plan_unmatched(ledger: Ledger, mapping: TableMapping) -> int:
    """How many items of the batch no target takes, as they are after their newest change.

    With `unmatched: dead_letter` that change becomes a dead letter; what the item was before
    leaves its old targets all the same.
    """
    if mapping.takes_everything:
        return 0
    seen: set[ItemKey] = set()
    unmatched = 0
    for index in reversed(ledger.keys):
        key = ledger.keys[index]
        if key in seen:
            continue
        seen.add(key)
        record = ledger.records[index]
        if record.new_image is None:
            continue
        try:
            image = ledger.image(index, record.new_image)
        except Rejected:  # every target has refused it already
            continue
        if any(target.matches(record.keys, image) for target in mapping.targets):
            continue
        unmatched += 1
        if mapping.spec.unmatched == "dead_letter":
            letter = DeadLetter(UNMATCHED, record, NO_TARGET)
            ledger.set_aside(index, letter, on_error="dead_letter")
    return unmatched
