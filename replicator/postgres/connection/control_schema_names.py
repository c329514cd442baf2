"""The control schema of one deployment: fills statements in, and names the tables and functions."""

from dataclasses import dataclass

from replicator.postgres.connection.sql_quoting import quote_identifier, quote_table


@dataclass(frozen=True, slots=True)
class ControlSchema:
    """The control schema by name, as the configuration has it: unquoted."""

    name: str

    def sql(self, statement: str, **parts: str) -> str:
        """The statement with the quoted name in place of `{schema}`, and further parts by name."""
        return statement.format(schema=quote_identifier(self.name), **parts)

    def table(self, name: str) -> str:
        """A table or function of the control schema, quoted."""
        return quote_table(self.name, name)
