"""Finds the configured table that a stream belongs to, and its registered mapping."""

from collections.abc import Mapping

from replicator.config.settings import Settings
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.stream.decoding.kinesis_records import Base64
from replicator.core.stream.source_kind import share_of
from replicator.errors import ConfigurationError, MigrationDue
from replicator.postgres.write.lambda_writer import RegisteredTable
from replicator.sources.lambda_events.event import Published


def entry_of(settings: Settings, tables: Mapping[str, RegisteredTable], stream_arn: str) -> str:
    """The entry with `poller: lambda` whose table a stream is of; ConfigurationError.

    Of several entries whose tables have one name, in other accounts and regions, the one that was
    registered for this ARN; never an entry that was registered for another ARN.
    """
    specs = settings.table_specs()
    shares = {
        share_of(spec.kinesis, spec.table): name
        for name, spec in specs.items()
        if spec.kinesis is not None and spec.poller == "lambda"
    }
    if stream_arn in shares:
        return shares[stream_arn]
    arn = stream_arn.partition("/stream/")[0]
    names = [
        name
        for name, spec in specs.items()
        if spec.kinesis is None and spec.table in (arn, arn.rpartition("/")[2])
    ]
    names = [name for name in names if name not in tables or tables[name].arn in (None, arn)]
    polled = [name for name in names if specs[name].poller == "lambda"]
    if len(polled) > 1:
        own = [name for name in polled if name in tables and tables[name].arn == arn]
        if len(own) != 1:
            message = f"the entries {' and '.join(polled)} may each be the table of {arn}"
            raise ConfigurationError(
                message, remedy="name their tables by their ARNs, then run `replicator migrate`"
            )
        polled = own
    if polled:
        return polled[0]
    if names:
        message = f"table {names[0]!r} is polled by the daemon, not by AWS Lambda"
        remedy = "say `poller: lambda` if Lambda is to write it, or remove the event source mapping"
        raise ConfigurationError(message, remedy=remedy)
    message = f"no entry with `poller: lambda` is the table of {stream_arn}"
    raise ConfigurationError(
        message, remedy="add it, or remove the event source mapping from the function"
    )


def published_of(settings: Settings) -> Published:
    """The Kinesis streams that Lambda delivers, and the tables of each."""
    published: dict[str, dict[str, Base64]] = {}
    for spec in settings.table_specs().values():
        if spec.kinesis is not None and spec.poller == "lambda":
            name = spec.table.rpartition("/")[2]
            published.setdefault(spec.kinesis, {})[name] = spec.kinesis_base64
    return published


def mapping_of(
    settings: Settings, tables: Mapping[str, RegisteredTable], name: str
) -> TableMapping:
    """The mapping of an entry, with the key of the registered table; MigrationDue."""
    if name not in tables:
        message = f"table {name!r} is not registered in the control schema"
        raise MigrationDue(message, remedy="run `replicator migrate`")
    return compile_table(settings.table_specs()[name], tables[name].key, table_arn=tables[name].arn)
