"""A connection string that shows no password, wherever printed."""

import re
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MASK = "***"
SCHEMES = ("postgresql://", "postgres://")
_USER = re.compile(r"(?P<before>\A[a-z][a-z0-9+.-]*://[^:@/?#]*:).*@", re.DOTALL | re.IGNORECASE)
_QUERY = re.compile(r"(?P<before>\b(?:ssl)?password\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s&]+)", re.I)


def mask_dsn(text: str) -> str:
    """The DSN without the passwords; where the end of a password is unclear, rather too much is
    hidden."""
    masked = _USER.sub(rf"\g<before>{MASK}@", text)
    return _QUERY.sub(rf"\g<before>{MASK}", masked)


class Dsn:
    """A DSN: `str` and `repr` are masked, `reveal` is the whole text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The DSN with the password, for a connection."""
        return self._text

    def __str__(self) -> str:
        return mask_dsn(self._text)

    def __repr__(self) -> str:
        return f"Dsn({mask_dsn(self._text)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dsn) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            _parse,
            core_schema.str_schema(),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": "^postgres(ql)?://"}


def _parse(text: str) -> Dsn:
    if not text.startswith(SCHEMES):
        raise PydanticCustomError(
            "replicator",
            "is no DSN",  # never the text: it may hold a password
            {"remedy": "write it as postgresql://user@host:5432/database"},
        )
    return Dsn(text)
