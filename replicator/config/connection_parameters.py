"""Connection parameters of source and target, from the settings. Needs no SDK of AWS."""

from dataclasses import replace

from replicator.aws.source_connection import ExportDestination, SourceConnection
from replicator.config.settings import PostgresSettings, Settings
from replicator.config.source_settings import SourceSettings
from replicator.postgres.connection.connect import ConnectionSettings, Password, Token
from replicator.postgres.connection.dsn_parameters import has_password


def source_connection(place: SourceSettings) -> SourceConnection:
    """The connection to a table, the stream or the lease table."""
    return SourceConnection(
        place.region,
        place.endpoint_url,
        place.role_arn,
        place.external_id,
        streams_endpoint_url=place.streams_endpoint_url,
        sts_endpoint_url=place.sts_endpoint_url,
    )


def table_connection(settings: Settings, table: str) -> SourceConnection:
    """The connection to a table, and to what the changes are read from."""
    place = source_connection(settings.source_of(table))
    own = settings.tables[table].source
    return replace(place, kinesis_endpoint_url=own.kinesis_endpoint_url)


def export_connection(settings: Settings, table: str) -> SourceConnection:
    """The connection to a table's exports, and to the bucket."""
    place = source_connection(settings.source_of(table))
    return replace(place, s3_endpoint_url=settings.export.endpoint_url)


def export_destination(settings: Settings) -> ExportDestination:
    """Bucket and prefix of exports."""
    export = settings.export
    return ExportDestination(export.bucket, export.prefix, export.bucket_owner, export.kms_key)


def connection_settings(
    target: PostgresSettings, *, password: Password | None, iam_token: Token | None
) -> ConnectionSettings:
    """Connection settings of the target, with the functions that fetch a password or a token."""
    return ConnectionSettings(
        dsn=target.dsn.reveal() if target.dsn is not None else None,
        dsn_file=target.dsn_file,
        password_file=target.password_file,
        password=password,
        iam_token=iam_token,
        pooler=target.pooler,
        connect_timeout_seconds=target.connect_timeout_seconds,
        statement_timeout_seconds=target.statement_timeout_seconds,
        lock_timeout_seconds=target.lock_timeout_seconds,
        application_name=target.application_name,
    )


def target_connection(target: PostgresSettings) -> ConnectionSettings:
    """Connection settings of processes that run."""
    if target.iam_auth or target.password_parameter or target.password_secret:
        return _connection_by_aws(target)
    return connection_settings(target, password=None, iam_token=None)


def _connection_by_aws(target: PostgresSettings) -> ConnectionSettings:
    """Connection settings with a password or token that AWS keeps or makes."""
    from replicator.aws import secrets  # noqa: PLC0415 (the SDK: a second that others save)

    password: Password | None = None
    endpoint_url = target.secrets_endpoint_url
    if target.password_parameter is not None:
        password = secrets.parameter_password(target.password_parameter, endpoint_url)
    elif target.password_secret is not None:
        password = secrets.secret_password(target.password_secret, endpoint_url)
    token = secrets.rds_token(None) if target.iam_auth else None
    return connection_settings(target, password=password, iam_token=token)


def migrate_connection(target: PostgresSettings) -> ConnectionSettings:
    """Connection settings for migrations: the settings of `run` unless `migrate_dsn` says
    otherwise.

    A `migrate_dsn` with a password needs no other, nor a token of IAM; a
    `migrate_dsn_file` is a secret, and has one.
    """
    runner = target_connection(target)
    if target.migrate_dsn is None and target.migrate_dsn_file is None:
        return runner
    dsn = target.migrate_dsn.reveal() if target.migrate_dsn is not None else None
    migrator = replace(runner, dsn=dsn, dsn_file=target.migrate_dsn_file)
    if dsn is None or has_password(dsn):
        return replace(migrator, password_file=None, password=None, iam_token=None)
    return migrator
