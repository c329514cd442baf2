"""Connection settings of the target, from the configuration. Needs no SDK of AWS."""

from replicator.config.settings import PostgresSettings
from replicator.postgres.connection.connect import ConnectionSettings, Password, Token


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
