"""Base of every group of settings: frozen, refuses unknown keys, an empty key means defaults."""

from collections.abc import Callable
from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from replicator.errors import ConfigurationError


class Group(BaseModel):
    """Settings that stand together under one key; an empty key means the defaults."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, data: object) -> object:
        return {} if data is None else data


def refuse(message: str, remedy: str | None) -> PydanticCustomError:
    """A fault that a validator found, in words for a person; neither may hold a secret."""
    return PydanticCustomError("replicator", "{message}", {"message": message, "remedy": remedy})


def parsed_by(parse: Callable[[str], Any]) -> PlainValidator:
    """Text that a function of the core parses, once; ConfigurationError becomes a finding."""

    def validate(text: object) -> Any:  # noqa: ANN401 (whatever the function makes of it)
        if not isinstance(text, str):
            raise PydanticKnownError("string_type")
        try:
            return parse(text)
        except ConfigurationError as error:
            raise refuse(str(error), error.remedy) from error

    return PlainValidator(validate, json_schema_input_type=str)


def accepted_by(check: Callable[[str], object]) -> AfterValidator:
    """Text that a function of the core accepts; ConfigurationError becomes a finding."""

    def validate(text: str) -> str:
        try:
            check(text)
        except ConfigurationError as error:
            raise refuse(str(error), error.remedy) from error
        return text

    return AfterValidator(validate)
