"""Which existing column types hold every value of a declared type unchanged. Pure."""

from replicator.core.columns import ColumnType, parse_type
from replicator.errors import ConfigurationError

_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_WIDER = {
    "smallint": ("smallint", "integer", "bigint"),
    "integer": ("integer", "bigint"),
    "bigint": ("bigint",),
}


def accepts(existing: str, declared: ColumnType) -> bool:
    """Whether every value of the declared type is unchanged in a column of the existing type."""
    try:
        found = parse_type(existing)
    except ConfigurationError:
        return False
    if found == declared:
        return True
    if found.array or declared.array:
        return False
    match declared.name:
        case "text":
            return found.name == "varchar" and not found.arguments
        case "varchar":
            return found.name == "text" or (
                found.name == "varchar"
                and (not found.arguments or (declared.arguments or (2**31,)) <= found.arguments)
            )
        case "numeric":
            return found.name == "numeric" and (
                not found.arguments
                or (bool(declared.arguments) and _holds(found.arguments, declared.arguments))
            )
        case "smallint" | "integer" | "bigint" as name:
            return found.name in _WIDER[name] or (
                found.name == "numeric"
                and (not found.arguments or _holds(found.arguments, (_DIGITS[name], 0)))
            )
        case _:
            return False


def _holds(outer: tuple[int, ...], inner: tuple[int, ...]) -> bool:
    """Whether numeric(outer) has the digits of numeric(inner), before and after the point."""
    return outer[1] >= inner[1] and outer[0] - outer[1] >= inner[0] - inner[1]
