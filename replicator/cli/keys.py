"""The key of an item as a person types it."""

import json
from typing import Any

from replicator.core.decimals import canonical_number
from replicator.core.mapping_spec import KeyType, SourceKey
from replicator.core.records import Image
from replicator.core.unfit import Unfit
from replicator.errors import ConfigurationError


def parse_key(text: str, source_key: SourceKey) -> Image:
    """The key attributes of `pk=a,sk=7`, of JSON with or without types, or of a value alone."""
    kinds = dict(source_key.attributes)
    values = _values(text, kinds)
    if values.keys() != kinds.keys():
        raise ConfigurationError(
            f"--key names {', '.join(sorted(values)) or 'nothing'}, "
            f"but the key of the table is {', '.join(kinds)}",
            remedy=f"write --key {','.join(f'{name}=…' for name in kinds)}, or JSON",
        )
    return {name: {kind: _raw(name, kind, values[name])} for name, kind in kinds.items()}


def _values(text: str, kinds: dict[str, KeyType]) -> dict[str, Any]:
    if text.startswith("{"):
        try:
            read = json.loads(text, parse_float=str, parse_int=str)
        except ValueError as error:
            message = "--key begins like JSON and is none"
            raise ConfigurationError(message, remedy='write {"pk": "a"} or pk=a') from error
        return dict(read)
    if len(kinds) == 1 and not text.startswith(f"{next(iter(kinds))}="):
        return {next(iter(kinds)): text}
    parts = text.split(",") if len(kinds) > 1 else [text]
    return {name: value for name, _, value in (part.partition("=") for part in parts)}


def _raw(name: str, kind: KeyType, value: object) -> str:
    """What stands on the wire under the type's tag."""
    if isinstance(value, dict) and list(value) == [kind]:
        value = value[kind]
    if not isinstance(value, str):
        raise ConfigurationError(
            f"--key: {name} is of type {kind}, and what was given is not",
            remedy=f'write {name}=…, or {{"{name}": {{"{kind}": "…"}}}}',
        )
    if kind != "N":
        return value
    try:
        return canonical_number(value)
    except Unfit as unfit:
        message = f"--key: {name} {unfit.reason}"
        raise ConfigurationError(message, remedy="write it in digits") from unfit
