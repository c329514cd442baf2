"""Rows of usual images by code that is written for the target; the others it leaves alone. Pure.

The steps of a row say what every value becomes. Here only the attributes that they use are
decoded, each as the type that its column usually takes, and converted without a call where that
is possible. Whatever is not as usual makes no row here: then `row_by_steps` decides.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from replicator.core.cells import Cell
from replicator.core.conversion import Converter
from replicator.core.plain_text import plain_text
from replicator.core.records import AttributeValue, Image
from replicator.core.rows import Row, Step, Usual
from replicator.errors import Rejected

UsualRow = Callable[[Image, memoryview], tuple[Row, Sequence[str]] | None]
"""From an item's keys and raw image to the row and the attributes that nothing takes."""
Untaken = Callable[[Iterable[str]], list[str]]
"""Those of the names that no column takes whole."""

_UNUSUAL = (AttributeError, KeyError, TypeError, ValueError, Rejected)
_RAW_TYPES: dict[str, Any] = {
    **dict.fromkeys(("S", "N", "B"), str),
    **dict.fromkeys(("SS", "NS", "BS"), list[str]),
    "BOOL": bool,
    "L": list[dict[str, Any]],
}
_BOOLEAN = '"true" if x is True else "false" if x is False else {convert}(x)'
_NULL = '{"NULL":true}'
_decode_values = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_value = msgspec.json.Decoder(AttributeValue).decode


def compile_usual_row(
    steps: Sequence[Step], *, keys: Iterable[str], tail: Row, untaken: Untaken
) -> UsualRow | None:
    """A function that makes the rows of usual images, and answers None for the others.

    `keys` are the names of the key attributes, `tail` is how the row ends. None where an attribute
    has a name that the decoder cannot be told.
    """
    users: dict[str, list[Step]] = {name: [] for name in keys}
    for step in steps:
        if not step.of_key:
            users.setdefault(step.attribute, []).append(step)
    fields = {name: f"a{number}" for number, name in enumerate(users)}
    names: dict[str, Any] = {"UNSET": UNSET, "UNUSUAL": _UNUSUAL, "tail": tail, "json": _json_cell}
    names |= {"untaken": untaken, "values": _decode_values}
    try:
        names["strict"] = _decoder(users, fields, strict=True)
        names["loose"] = _decoder(users, fields, strict=False)
    except ValueError:
        return None
    lines = _decoding(untaken(users), fields, names)
    for number, step in enumerate(steps):
        cell = _key_cell if step.of_key else _cell
        alone = len(users.get(step.attribute, ())) == 1
        lines += cell(number, step, names, field=fields.get(step.attribute, ""), alone=alone)
    cells = "".join(f"c{number}, " for number in range(len(steps)))
    lines.append(f"return ({cells}*tail), extra")
    text = ["def row(keys, raw):", " try:", *(f"  {line}" for line in lines)]
    text += [" except UNUSUAL:", "  return None"]
    # nothing that a configuration says is in the text: it is bound to names
    exec("\n".join(text), names)  # noqa: S102
    row: UsualRow = names["row"]
    return row


def _decoder(
    users: dict[str, list[Step]], fields: dict[str, str], *, strict: bool
) -> Callable[[memoryview], Any]:
    """Decodes the attributes that are used; a strict one refuses images with others."""
    members = [(fields[name], _type_of(its) | UnsetType, UNSET) for name, its in users.items()]
    image = msgspec.defstruct(
        "Image",
        members,
        rename={field: name for name, field in fields.items()},
        forbid_unknown_fields=strict,
        gc=False,
    )
    return msgspec.json.Decoder(image).decode


def _type_of(users: list[Step]) -> Any:  # noqa: ANN401 (a type for the decoder)
    """What an attribute is decoded as."""
    if not users or (_is_json(users[0]) and len(users) == 1):
        return Raw
    usual = users[0].usual
    if len(users) > 1 or usual is None:
        return AttributeValue
    raw_type = _RAW_TYPES[usual.tag] | UnsetType
    members = [(usual.tag, raw_type, UNSET), ("NULL", bool | UnsetType, UNSET)]
    return msgspec.defstruct("Value", members, forbid_unknown_fields=True, gc=False)


def _is_json(step: Step) -> bool:
    return step.usual is not None and step.usual.tag == "M"


def _decoding(
    partly_taken: Iterable[str], fields: dict[str, str], names: dict[str, Any]
) -> list[str]:
    """Lines that decode the image and note the attributes that nothing takes."""
    lines = ["try:", " image, extra = strict(raw), ()"]
    for name in partly_taken:
        names[f"name_{fields[name]}"] = name
        lines.append(f" if image.{fields[name]} is not UNSET: extra += (name_{fields[name]},)")
    return [*lines, "except ValueError:", " image, extra = loose(raw), untaken(values(raw))"]


def _key_cell(number: int, step: Step, names: dict[str, Any], **_: object) -> list[str]:
    """Lines that put a key's cell into its variable."""
    names[f"name{number}"], names[f"convert{number}"] = step.attribute, step.convert
    lines = [f"v = keys[name{number}]"]
    if step.usual is None:
        return [*lines, f"c{number} = convert{number}(v)"]
    return [
        *lines,
        "(tag,) = v",
        f'x = v["{step.usual.tag}"]',
        *_converted(number, step.usual, names),
    ]


def _cell(number: int, step: Step, names: dict[str, Any], *, field: str, alone: bool) -> list[str]:
    """Lines that put a cell into its variable."""
    names[f"convert{number}"] = step.convert
    usual, lines = step.usual, [f"v = image.{field}"]
    if usual is None or not alone:
        return [*lines, f"c{number} = convert{number}(None if v is UNSET else v)"]
    lines += ["if v is UNSET:", f" c{number} = None"]
    if _is_json(step):
        return [*lines, "else:", f" c{number} = json(v, convert{number})"]
    lines += ["elif v.NULL is UNSET:", f" x = v.{usual.tag}"]
    lines += [f" {line}" for line in _converted(number, usual, names)]
    return [*lines, f"elif v.{usual.tag} is UNSET:", f" c{number} = None", "else:", " return None"]


def _converted(number: int, usual: Usual, names: dict[str, Any]) -> list[str]:
    """A line that makes the cell of the raw value `x`."""
    names[f"of{number}"], names[f"test{number}"] = usual.conversion, usual.test
    if usual.tag == "BOOL":
        return [f"c{number} = " + _BOOLEAN.format(convert=f"of{number}")]
    if usual.test is None:
        return [f"c{number} = of{number}(x)"]
    test = usual.test if isinstance(usual.test, str) else f"test{number}(x)"
    return [f"c{number} = x if {test} else of{number}(x)"]


def _json_cell(raw: Raw, convert: Converter) -> Cell:
    """The cell of a jsonb column, decoded only where it must be."""
    text = str(raw, "utf-8")
    if text == _NULL:
        return None
    plain = plain_text(text)
    return convert(_decode_value(raw)) if plain is None else plain
