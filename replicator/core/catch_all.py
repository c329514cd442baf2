"""The target that takes what no other target of its table does. Pure."""

from dataclasses import replace

from replicator.core.identifiers import parse_table_name
from replicator.core.mapping_spec import TableSpec, TargetSpec
from replicator.errors import ConfigurationError

UNMATCHED_POLICIES = ("ignore", "dead_letter")


def with_catch_all(spec: TableSpec) -> tuple[TargetSpec, ...]:
    """The targets, the one that `unmatched` names with the condition that no other one holds."""
    if spec.unmatched in UNMATCHED_POLICIES:
        return spec.targets
    name = parse_table_name(spec.unmatched)
    named = [target for target in spec.targets if parse_table_name(target.target) == name]
    others = [target for target in spec.targets if parse_table_name(target.target) != name]
    if not named:
        raise ConfigurationError(
            f"`unmatched` names {spec.unmatched}, which is not below `into`",
            remedy=f"say {', '.join(UNMATCHED_POLICIES)}, or one of "
            + ", ".join(target.target for target in spec.targets),
        )
    if named[0].when is not None:
        raise ConfigurationError(
            f"target {spec.unmatched} takes what no other target does, and has a `when` of its own",
            remedy="drop its `when`, or name another target in `unmatched`",
        )
    idle = next((target.target for target in others if target.when is None), None)
    if idle is not None or not others:
        why = f"{idle} has no `when` and takes every item" if idle else "there is no other target"
        raise ConfigurationError(
            f"`unmatched` names {spec.unmatched}, but nothing is ever left for it: {why}",
            remedy="give the other targets a `when`, or drop `unmatched`",
        )
    when = {"none": [target.when for target in others]}
    return tuple(
        replace(target, when=when) if target is named[0] else target for target in spec.targets
    )
