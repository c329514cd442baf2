"""Lines of an export's data files become records, with the images as raw JSON. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from replicator.core.stream_record import NOWHERE, SCANNED, LetterId, StreamRecord, as_ascii
from replicator.errors import ExportUnfit

MICROSECONDS = 1_000_000
_MICROS_DIGITS_MAX = 17
"""Digits of a time of writing in microseconds, until the year 5138: with more the unit is
another."""


class _ItemLine(msgspec.Struct):
    Item: msgspec.Raw


class _Micros(msgspec.Struct):
    N: str


class _Metadata(msgspec.Struct):
    WriteTimestampMicros: _Micros


class _ChangeLine(msgspec.Struct):
    Metadata: _Metadata
    Keys: dict[str, dict[str, str]]
    NewImage: msgspec.Raw = msgspec.Raw()
    OldImage: msgspec.Raw = msgspec.Raw()


ExportLine = TypeVar("ExportLine", bound=msgspec.Struct)
_IMAGES = ("Item", "NewImage", "OldImage")
_ITEMS = msgspec.json.Decoder(_ItemLine)
_CHANGES = msgspec.json.Decoder(_ChangeLine)


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """Some lines of an incremental export; `last_key` resumes behind the lines, None at the end."""

    records: list[StreamRecord]
    last_key: str | None
    read_units: float = 0.0


def items_of_lines(lines: Sequence[bytes]) -> list[memoryview]:
    """Images of a full export as from a scan; ExportUnfit for another line."""
    return [memoryview(line.Item) for line in _decoded(lines, _ITEMS)]


def changes_of_lines(lines: Sequence[bytes]) -> list[StreamRecord]:
    """The last change of each item in the window of an incremental export.

    A line without a new image is a deletion. Such records have no place in a stream, and the
    version of what a scan read.
    """
    found = _decoded(lines, _CHANGES)
    records = []
    for place, line in enumerate(found, 1):
        new_image, old_image = _image(line.NewImage), _image(line.OldImage)
        records.append(
            StreamRecord(
                NOWHERE,
                SCANNED,
                LetterId(-place),
                "remove" if new_image is None else "modify",
                line.Keys,
                new_image,
                old_image,
                _micros(line) / MICROSECONDS,
            )
        )
    return records


def _micros(line: _ChangeLine) -> int:
    text = line.Metadata.WriteTimestampMicros.N
    if not (text.isascii() and text.isdigit() and len(text) <= _MICROS_DIGITS_MAX):
        message = "a line of the export has no time of writing"
        raise ExportUnfit(message, remedy="ask for a new export")
    return int(text)


def _decoded(
    lines: Sequence[bytes], decoder: "msgspec.json.Decoder[ExportLine]"
) -> list[ExportLine]:
    """All lines together; where a strict parser refuses a line, each line by itself."""
    try:
        return decoder.decode_lines(b"\n".join(lines))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [_decoded_alone(line, decoder) for line in lines]


def _decoded_alone(line: bytes, decoder: "msgspec.json.Decoder[ExportLine]") -> ExportLine:
    """Decode a line that may hold lone surrogates: its images are written again as ASCII JSON, so
    that only the item is rejected later.
    """
    try:
        try:
            return decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            told = json.loads(line)
            if isinstance(told, dict):
                told |= {name: as_ascii(told[name]) for name in _IMAGES if name in told}
            return msgspec.convert(told, decoder.type)
    except (ValueError, RecursionError) as error:
        message = "a line of the export is not of the shape that AWS documents"
        raise ExportUnfit(message, remedy="ask for a new export") from error


def _image(raw: msgspec.Raw) -> memoryview | None:
    view = memoryview(raw)
    return None if bytes(view[:4]) in (b"", b"null") else view
