"""Personal data: hashed, masked or dropped before anything else sees an image. Pure."""

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from replicator.core.mapping.attribute_paths import parse_path
from replicator.core.stream_record import AttributeValue, Image, StreamRecord
from replicator.core.table_spec import AttributePath, Masking, SourceKey, TableSpec
from replicator.core.values.canonical_numbers import canonical_number
from replicator.core.values.cells import Unfit
from replicator.core.values.dynamodb_json import decode_image, label, may_lack_tags
from replicator.errors import ConfigurationError, UnknownRecord, ValueRejected

MASK = "***"
_BETWEEN = b"\x1f"  # no valid JSON holds it
_decode_values = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder(AttributeValue).decode
_Treat = Callable[[Any], AttributeValue | None]


class Protection:
    """Treatment of the values at some paths; NULL and absent values stay unchanged."""

    def __init__(self, rules: tuple[tuple[AttributePath, _Treat], ...]) -> None:
        self._rules = rules
        self.attributes = frozenset(str(path[0]) for path, _ in rules)
        """Top-level attributes that hold personal data, whole or at some path."""

    def image(self, image: Image) -> Image:
        """The image with the personal data hashed, masked or dropped."""
        treated: Image = dict(image)
        for name in self.attributes & image.keys():
            value = self.value(name, image[name])
            if value is None:
                del treated[name]
            else:
                treated[name] = value
        return treated

    def raws(self, raws: Sequence[memoryview]) -> list[bytes | None]:
        """The JSON of images without hidden values; None where decoding is needed."""
        if may_lack_tags(_BETWEEN.join(raws)):
            return [None if may_lack_tags(bytes(raw)) else self._image_text(raw) for raw in raws]
        return list(map(self._image_text, raws))

    def _image_text(self, raw: memoryview) -> bytes | None:
        try:
            members: dict[str, Any] = _decode_values(raw)
            for name in self.attributes & members.keys():
                value = self.value(name, _decode_value(members[name]))
                if value is None:
                    del members[name]
                else:
                    members[name] = value
            return msgspec.json.encode(members)
        except (ValueError, RecursionError):
            return None

    def value(self, attribute: str, value: AttributeValue) -> AttributeValue | None:
        """An attribute's value without hidden values; None: dropped."""
        left: AttributeValue | None = value
        for (name, *steps), treat in self._rules:
            if name == attribute and left is not None:
                left = _treated(left, steps, treat)
        return left

    def record(self, record: StreamRecord) -> StreamRecord:
        """The record with the personal data hashed, masked or dropped."""
        return StreamRecord(
            record.position,
            record.version,
            record.letter_id,
            record.event,
            record.keys,
            self._raw(record.new_image),
            self._raw(record.old_image),
            record.created_at,
            record.expired,
        )

    def _raw(self, raw: memoryview | None) -> memoryview | None:
        if raw is None:
            return None
        try:
            image = decode_image(raw)
            return memoryview(json.dumps(self.image(image)).encode())
        except (ValueRejected, UnknownRecord, RecursionError):  # nobody can tell what is where
            return memoryview(b"{}")


def compile_protection(spec: TableSpec, source_key: SourceKey) -> Protection | None:
    """The rules of a table, None without rules; ConfigurationError."""
    if not spec.personal:
        return None
    keys = {name for name, _ in source_key.attributes}
    rules: list[tuple[AttributePath, _Treat]] = []
    for text, treatment in spec.personal:
        path = parse_path(text)
        if path[0] in keys:
            raise ConfigurationError(
                f"`personal` names {label(str(path[0]))!r}, which belongs to the key: it names the "
                "item in rows, dead letters and messages",
                remedy="keep personal data out of keys, or choose the targets' rights accordingly",
            )
        rules.append((path, _treatment(treatment, spec.salt)))
    return Protection(tuple(rules))


def salt_digest(salt: bytes | None) -> str:
    """Tells one salt from another without revealing the salt."""
    return "" if salt is None else hmac.new(salt, b"replicator", hashlib.sha256).hexdigest()


def _treatment(treatment: Masking, salt: bytes | None) -> _Treat:
    match treatment:
        case "mask":
            return lambda _: {"S": MASK}
        case "drop":
            return lambda _: None
        case "hash" if salt is not None:
            return _hash(salt)
        case "hash":
            message = "personal data is hashed, but there is no salt"
            raise ConfigurationError(message, remedy="name a file in `hashing.salt_file`")


def _hash(salt: bytes) -> _Treat:
    begun = hmac.new(salt, digestmod=hashlib.sha256)  # copied: the salt is gone through once

    def hashed(value: AttributeValue) -> AttributeValue:
        its = begun.copy()
        its.update(_bytes(value))
        return {"S": its.hexdigest()}

    return hashed


def _bytes(value: Any) -> bytes:  # noqa: ANN401 (what is at the path is not known yet)
    """The text of a string, and a text of anything else that equal values share."""
    match value:
        case {"S": str(text)}:
            pass
        case {"N": str(number)}:
            try:
                text = canonical_number(number)
            except Unfit:
                text = number
        case _:
            text = json.dumps(value, sort_keys=True)
    return text.encode("utf-8", "surrogatepass")


def _treated(value: Any, steps: list[str | int], treat: _Treat) -> Any:  # noqa: ANN401 (as above)
    """The value with the treated end of the steps; None: dropped."""
    if isinstance(value, dict) and "NULL" in value:
        return value
    if not steps:
        return treat(value)
    step, *left = steps
    match value, step:
        case {"M": dict(members)}, str() if step in members:
            inside = _treated(members[step], left, treat)
            kept = {name: member for name, member in members.items() if name != step}
            return {"M": kept if inside is None else {**kept, step: inside}}
        case {"L": list(elements)}, int() if step < len(elements):
            inside = _treated(elements[step], left, treat)
            return {"L": [*elements[:step], inside or {"NULL": True}, *elements[step + 1 :]]}
        case _:
            return value
