"""Items that no target takes: counted, and dead-lettered where the table says so. Pure."""

from replicator.core.mapping.compile import TableMapping, TargetMapping
from replicator.core.planning.batch_ledger import DeadLetter, Ledger
from replicator.errors import ValueRejected

UNMATCHED = "(unmatched)"
"""Stands where a dead letter names the target."""
NO_TARGET = "the item belongs to no target: no `when` of the table takes it"


def plan_unmatched(ledger: Ledger, mapping: TableMapping) -> int:
    """Count the batch's items that no target takes after the newest change.

    With `unmatched: dead_letter` that change becomes a dead letter; what the item was before
    leaves the old targets all the same.
    """
    if mapping.takes_everything:
        return 0
    unmatched = 0
    for key, index in ledger.newest.items():
        record = ledger.records[index]
        if key in ledger.taken or record.new_image is None:
            continue
        try:
            if any(_takes(target, ledger, index) for target in mapping.targets):
                continue
        except ValueRejected:  # a target has refused it already
            continue
        unmatched += 1
        if mapping.spec.unmatched == "dead_letter":
            letter = DeadLetter(UNMATCHED, record, NO_TARGET)
            ledger.set_aside(index, letter, on_error="dead_letter")
    return unmatched


def _takes(target: TargetMapping, ledger: Ledger, index: int) -> bool:
    """True when the item belongs to the target after the change; ValueRejected."""
    record = ledger.records[index]
    if target.routes_on_keys_only or record.new_image is None:
        return target.matches(record.keys, None)
    return target.matches(record.keys, ledger.image(index, record.new_image))
