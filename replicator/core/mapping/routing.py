"""Routes items to targets: the conditions of `when`, compiled, and catch-all targets. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from operator import attrgetter
from typing import TypeVar

from msgspec import UNSET, UnsetType, defstruct
from msgspec.json import Decoder

from replicator.core.mapping.attribute_paths import compile_descent, parse_path
from replicator.core.mapping.target_table import parse_table_name
from replicator.core.stream_record import AttributeValue, Image
from replicator.core.table_spec import TableSpec, TargetSpec
from replicator.core.values.canonical_numbers import canonical_number
from replicator.core.values.cells import Unfit
from replicator.errors import ConfigurationError

_Raw = TypeVar("_Raw")
_Test = Callable[[AttributeValue | None], bool]
_Check = Callable[[Image, Image], bool]
_Look = Callable[[memoryview], Image]

_COMPARISONS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "gt": Decimal.__gt__,
    "gte": Decimal.__ge__,
    "lt": Decimal.__lt__,
    "lte": Decimal.__le__,
}
_OPERANDS = {
    "equals": "a string, a number, true, false or null",
    "in": "a list of them, not empty",
    "begins_with": "a string",
    "exists": "true or false",
    "not": "a value or operators",
    **dict.fromkeys(_COMPARISONS, "a number"),
}
_GROUPS: dict[str, Callable[[list[bool]], bool]] = {
    "any": any,
    "all": all,
    "none": lambda found: not any(found),
}


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A compiled `when`; `on_keys_only` tells that the key alone decides, in every image.

    `attributes` are the attributes to read, beside the key's.
    """

    on_keys_only: bool
    attributes: frozenset[str]
    _check: _Check
    _look: _Look | None = None

    def matches(self, keys: Image, image: Image | None) -> bool:
        """True when the item belongs to the target. Key attributes are read from `keys`."""
        return self._check(keys, image or {})

    def matches_raw(self, keys: Image, raw: memoryview) -> bool | None:
        """`matches` for an image as received, of which only the attributes of the condition are
        decoded.

        None where that cannot be: then the image must be decoded.
        """
        try:
            return None if self._look is None else self._check(keys, self._look(raw))
        except (ValueError, RecursionError):
            return None


def compile_condition(when: object, key_attributes: Collection[str]) -> Condition:
    """Compile the condition as configured; None matches every item.

    A mapping from path to operators, all of which must hold; a scalar means `equals`. `any: [...]`,
    `all: [...]` and `none: [...]` hold conditions; attributes of the names are written in quotes.
    Values compare by type: a string never equals a number, numbers compare exactly, an absent
    attribute equals nothing. ConfigurationError names the nearest known operator.
    """
    if when is None:
        return Condition(
            on_keys_only=True, attributes=frozenset(), _check=lambda _keys, _image: True
        )
    used: set[str] = set()
    check = _condition(when, frozenset(key_attributes), used)
    used -= set(key_attributes)
    look = _compile_look(sorted(used))
    return Condition(not used, frozenset(used), check, look)


def _compile_look(names: Sequence[str]) -> _Look | None:
    """A function that decodes the given attributes of an image, and no others.

    None where an attribute has a name that the decoder cannot be told.
    """
    told = {f"a{number}": name for number, name in enumerate(names)}
    members = [(field, AttributeValue | UnsetType, UNSET) for field in told]
    try:
        decode = Decoder(defstruct("Image", members, rename=told, gc=False)).decode
    except ValueError:
        return None
    fields = [(name, attrgetter(field)) for field, name in told.items()]

    def look(raw: memoryview) -> Image:
        image = decode(raw)
        return {name: value for name, of in fields if (value := of(image)) is not UNSET}

    return look


def _condition(when: object, key_attributes: frozenset[str], used: set[str]) -> _Check:
    if not isinstance(when, Mapping) or not when:
        raise ConfigurationError(
            f"`when` holds {when!r} where a condition is needed",
            remedy="write a path and what its value must be, such as {sk: {begins_with: 'ORDER#'}}",
        )
    checks: list[_Check] = []
    for path, operand in when.items():
        if path in _GROUPS:
            checks.append(_group(path, operand, key_attributes, used))
        else:
            checks.append(_path_check(str(path), operand, key_attributes, used))
    if len(checks) == 1:
        return checks[0]
    return lambda keys, image: all(check(keys, image) for check in checks)


def _group(name: str, operand: object, key_attributes: frozenset[str], used: set[str]) -> _Check:
    if not isinstance(operand, list) or not operand:
        raise ConfigurationError(
            f"`when: {name}` needs a list of conditions",
            remedy=f"write {name}: [{{…}}, {{…}}], or '\"{name}\"' if it is an attribute's name",
        )
    combine = _GROUPS[name]
    checks = [_condition(member, key_attributes, used) for member in operand]
    return lambda keys, image: combine([check(keys, image) for check in checks])


def _path_check(
    text: str, operand: object, key_attributes: frozenset[str], used: set[str]
) -> _Check:
    path = parse_path(text)
    name = str(path[0])
    used.add(name)
    descend = compile_descent(path)
    test = _test(operand, text)
    if name in key_attributes:
        return lambda keys, _image: test(descend(keys.get(name)))
    return lambda _keys, image: test(descend(image.get(name)))


def _test(operand: object, path: str) -> _Test:
    if not isinstance(operand, Mapping):
        return _equals(operand, path)
    if not operand:
        raise ConfigurationError(f"`when: {path}` is empty", remedy=f"use {', '.join(_OPERANDS)}")
    tests = [_operator(str(name), value, path) for name, value in operand.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def _operator(name: str, operand: object, path: str) -> _Test:
    match name, operand:
        case "equals", _:
            return _equals(operand, path)
        case "in", [_, *_]:
            tests = [_equals(member, path) for member in operand]
            return lambda value: any(test(value) for test in tests)
        case "begins_with", str():
            return _begins_with(operand)
        case "exists", bool():
            return lambda value: (value is not None) is operand
        case "not", _:
            test = _test(operand, path)
            return lambda value: not test(value)
        case _ if name in _COMPARISONS and _decimal(operand) is not None:
            return _compares(name, _decimal(operand) or Decimal())
        case _ if name in _OPERANDS:
            message = f"`when: {path}: {name}` has an operand that does not fit: {operand!r}"
            raise ConfigurationError(message, remedy=f"{name} takes {_OPERANDS[name]}")
        case _:
            pass
    near = get_close_matches(name, _OPERANDS, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(_OPERANDS)}"
    raise ConfigurationError(f"`when: {path}` has the unknown operator {name!r}", remedy=remedy)


def _equals(operand: object, path: str) -> _Test:
    if operand is None:
        return lambda value: _raw(value, "NULL", bool) is not None
    if isinstance(operand, bool):
        return lambda value: _raw(value, "BOOL", bool) is operand
    if isinstance(operand, str):
        return lambda value: _raw(value, "S", str) == operand
    number = _decimal(operand)
    if number is None:
        message = f"`when: {path}` compares with {operand!r}"
        remedy = "use a string (dates in quotes), a number, true, false or null"
        raise ConfigurationError(message, remedy=remedy)
    return lambda value: _number(value) == number


def _begins_with(prefix: str) -> _Test:
    def test(value: AttributeValue | None) -> bool:
        text = _raw(value, "S", str)
        return text is not None and text.startswith(prefix)

    return test


def _compares(name: str, bound: Decimal) -> _Test:
    compare = _COMPARISONS[name]

    def test(value: AttributeValue | None) -> bool:
        number = _number(value)
        return number is not None and compare(number, bound)

    return test


def _raw(value: AttributeValue | None, tag: str, kind: type[_Raw]) -> _Raw | None:
    """The raw value under the tag; None for another type, for none, and for an absent attribute."""
    raw = value.get(tag) if isinstance(value, dict) else None
    return raw if isinstance(raw, kind) else None


def _number(value: AttributeValue | None) -> Decimal | None:
    raw = _raw(value, "N", str)
    try:
        return None if raw is None else Decimal(canonical_number(raw))
    except Unfit:  # what is no number equals none; its column refuses it
        return None


def _decimal(operand: object) -> Decimal | None:
    """A configured number as written, or None."""
    if isinstance(operand, bool) or not isinstance(operand, int | float | Decimal):
        return None
    number = Decimal(repr(operand)) if isinstance(operand, float) else Decimal(operand)
    return number if number.is_finite() else None


UNMATCHED_POLICIES = ("ignore", "dead_letter")


def with_catch_all(spec: TableSpec) -> tuple[TargetSpec, ...]:
    """The targets, the one that `unmatched` names with the condition that no other one holds."""
    if spec.unmatched in UNMATCHED_POLICIES:
        return spec.targets
    name = parse_table_name(spec.unmatched)
    named = [target for target in spec.targets if parse_table_name(target.target) == name]
    others = [target for target in spec.targets if target not in named]
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
