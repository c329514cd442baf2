"""Names and literals as SQL text: the only place that quotes."""

from collections.abc import Iterable

from replicator.errors import ConfigurationError


def quote_identifier(name: str) -> str:
    """`name` exactly as PostgreSQL stores it, reserved or not, capitals and quotes included."""
    if not name or "\0" in name:
        message = f"{name!r} cannot be a name in PostgreSQL"
        raise ConfigurationError(message, remedy="use a name of at least one character, none NUL")
    return '"' + name.replace('"', '""') + '"'


def quote_table(schema: str, name: str) -> str:
    """A table (or function) with the schema, so that no search_path decides what it means."""
    return f"{quote_identifier(schema)}.{quote_identifier(name)}"


def column_list(names: Iterable[str], *, of: str | None = None) -> str:
    """Quoted columns, separated by commas; `of`: the alias of the table."""
    before = "" if of is None else f"{of}."
    return ", ".join(f"{before}{quote_identifier(name)}" for name in names)


def quote_literal(text: str) -> str:
    """A string constant that means `text` whatever `standard_conforming_strings` says.

    For what a statement cannot take as a parameter (DDL, `set local`); values are parameters.
    """
    if "\0" in text:
        raise ConfigurationError("PostgreSQL's text cannot hold NUL")
    doubled = text.replace("\\", "\\\\").replace("'", "''")
    return ("E'" if "\\" in text else "'") + doubled + "'"
