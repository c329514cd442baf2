"""Values near what each column type takes: some fit, some are just beyond, some are other texts."""

from typing import Any

from replicator.core.values.column_types import ROWS

_NUMBERS = ["0", "-1", "1.5", "0.1", "100", "1E2", "32767", "32768", "123456.7", "0.000001"]
_TEXTS = ["", "a", "ab ", "abc", "abcd", "é", "true", "a,b", 'a"b', "a\\b"]
_DAYS = ["2024-01-31", "2024-02-29", "2023-02-29", "0000-01-01", "9999-12-31", "24-01-01"]
_CLOCKS = ["00:00:00", "23:59:59.9", "12:30", "12:30:00.123", "12:30:00.1234567", "24:00:00"]
_CLOCKS += ["12:30:00.123456700", "12:30:00.1230000", "12:30:00.1234567890"]
_ADDRESSES = ["10.0.0.7", "10.0.0.0/8", "10.0.0.7/8", "::1", "1.2.3", "256.1.1.1", "01.2.3.4"]
_MACS = ["08:00:2b:01:02:03", "08-00-2B-01-02-03", "08:00:2b:01:02:03:04:05", "08002b010203"]

_OF: dict[str, list[str]] = {
    "char": _TEXTS,
    "varchar": _TEXTS,
    "citext": _TEXTS,
    "ltree": ["", "top", "top.b_1", "a..b", "a-b", "a b", "a,b"],
    "text": _TEXTS,
    "uuid": ["0" * 8 + "-aaaa-AAAA-0000-" + "0" * 12, "0" * 8 + "-aaaa-aaaa-0000-" + "0" * 12],
    "date": _DAYS,
    "time": _CLOCKS,
    "timetz": [clock + zone for clock in _CLOCKS for zone in ("Z", "+02:00", "-16:00", "")],
    "timestamp": [f"{day}T{clock}" for day in _DAYS for clock in _CLOCKS],
    "timestamptz": [f"{day}T{clock}Z" for day in _DAYS for clock in _CLOCKS],
    "interval": ["P1Y2M3DT4H5M6.7S", "PT0S", "-P1W", "P", "PT36H", "PT0.0000001S", "1 day"],
    "inet": _ADDRESSES,
    "cidr": _ADDRESSES,
    "macaddr": _MACS,
    "macaddr8": _MACS,
}


def samples_of(name: str) -> list[dict[str, Any]]:
    """Attribute values for a column of the type, by its name in the table of types."""
    row = ROWS[name]
    if row.tag == "BOOL":
        return [{"BOOL": True}, {"BOOL": False}]
    if row.tag == "B":
        return [{"B": text} for text in ("", "AA==", "/w==", "A")]
    if row.tag == "N":
        return [{"N": text} for text in _NUMBERS]
    if name == "hstore":
        members = ({"S": 'a"\\,'}, {"NULL": True}, {"N": "1"})
        return [{"M": {}}, *({"M": {"b": {"S": ""}, "a": member}} for member in members)]
    if row.tag == "L":
        numbers = [[], ["1", "0.1"], ["-2.5"], ["0.123456789"], ["x"]]
        return [{"L": [{"N": text} for text in texts]} for texts in numbers]
    if row.tag == "M":
        return [{"M": {"a": {"N": "1E2"}}}, {"M": {"é": {"S": "\\"}}}, {"L": []}, {"S": "x"}]
    return [{"S": text} for text in _OF[name]]


def arrays_of(name: str) -> list[dict[str, Any]]:
    """Attribute values for a column of arrays of the type."""
    samples = samples_of(name)
    lists: list[dict[str, Any]] = [{"L": []}, {"L": [{"NULL": True}]}]
    lists += [{"L": [sample]} for sample in samples]
    sets = {"S": "SS", "N": "NS", "B": "BS"}
    tag = sets.get(ROWS[name].tag)
    return lists if tag is None else [*lists, *({tag: [*sample.values()]} for sample in samples)]
