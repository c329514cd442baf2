"""All settings of a configuration, with bounds and defaults."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from replicator.config.masked_dsn import Dsn
from replicator.config.settings_base import Group, accepted_by, refuse
from replicator.config.source_settings import ENDPOINT, SourceSettings
from replicator.config.table_settings import TABLE_ARN, TABLE_NAME, TableSettings, TargetSettings
from replicator.core.mapping.target_table import check_identifier
from replicator.core.table_spec import TableSpec
from replicator.errors import ConfigurationError

DEPLOYMENT = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
ENTRY = r"^[A-Za-z0-9_.-]{1,255}$"  # as DynamoDB's names, which it stands for unless it says more

URL = r"^https?://\S+$"
APPLICATION_NAME = r"^[ -~]+$"
"""PostgreSQL shows other characters than ASCII as question marks or escapes, and by this name a
process is recognised."""
HOST_NAME = r"^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"

SALT_BYTES_MIN = 16

LowerCase = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
HostName = Annotated[str, Field(pattern=HOST_NAME, max_length=253)]
SchemaName = Annotated[str, accepted_by(lambda name: check_identifier(name, "the control schema"))]


class CoordinationSettings(SourceSettings):
    """Leases and checkpoints in DynamoDB; place and role default to those of `source`."""

    table: str = Field(default="replicator-leases", pattern=f"^{TABLE_NAME}$")
    """The lease table; created when missing."""
    lease_seconds: float = Field(default=20.0, ge=0.5, le=600)
    """Time that a lease may stand still before another worker takes over; all workers of a
    deployment need the same."""


class PostgresSettings(Group):
    """The PostgreSQL database with the target tables and the control schema."""

    dsn: Dsn | None = Field(default=None, examples=["postgresql://replicator@localhost:5432/app"])
    """Connection string; null: the `PG*` variables say where to connect."""
    dsn_file: Path | None = None
    """A file that holds the DSN, read again on each connect."""
    migrate_dsn: Dsn | None = None
    """A role that may run DDL; default: `dsn`."""
    migrate_dsn_file: Path | None = None
    """A file that holds `migrate_dsn`."""
    password_file: Path | None = None
    """A file that holds the password, read again on each connect."""
    password_secret: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:\S+$",
        examples=["arn:aws:secretsmanager:eu-west-1:123456789012:secret:replicator-a1b2c3"],
    )
    """The ARN of a secret in AWS Secrets Manager that holds the password; read on each connect."""
    password_parameter: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:parameter/\S+$",
        examples=["arn:aws:ssm:eu-west-1:123456789012:parameter/replicator/password"],
    )
    """The ARN of a parameter in AWS Systems Manager that holds the value; read on each connect."""
    secrets_endpoint_url: str | None = Field(
        default=None,
        pattern=ENDPOINT,
        examples=["https://vpce-0a1b.secretsmanager.eu-west-1.vpce.amazonaws.com"],
    )
    """Another endpoint for whichever of the two keeps the password, such as PrivateLink's."""
    iam_auth: bool = False
    """Connect with tokens of RDS IAM instead of a password."""
    pooler: Literal["none", "transaction"] = "none"
    """`transaction` behind PgBouncer in transaction mode or RDS Proxy."""
    control_schema: SchemaName = "replicator"
    """The schema of positions, dead letters and all else that is ours."""
    application_name: str = Field(
        default="replicator",
        max_length=40,
        pattern=APPLICATION_NAME,
        examples=["replicator"],
    )
    """Name of the connections in `pg_stat_activity`, in ASCII."""
    pool_size: int = Field(default=4, ge=1, le=100)
    """The connections of one process."""
    connect_timeout_seconds: float = Field(default=10.0, ge=0.1, le=300)
    """Longest time that a connect may take."""
    statement_timeout_seconds: float = Field(default=30.0, ge=0.1, le=3600)
    """Longest time that one statement may take."""
    lock_timeout_seconds: float = Field(default=5.0, ge=0.1, le=600)
    """Longest time that one statement may wait for a lock."""

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        for names in (
            ("dsn", "dsn_file"),
            ("migrate_dsn", "migrate_dsn_file"),
            ("password_file", "password_secret", "password_parameter", "iam_auth"),
        ):
            said = [name for name in names if getattr(self, name)]
            if len(said) > 1:
                raise refuse(f"{' and '.join(said)} contradict each other", "keep one of them")
        return self


class HttpSettings(Group):
    """The status page, metrics and health checks."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """The address to listen on; the container image sets 0.0.0.0."""
    port: int = Field(default=8080, ge=0, le=65535)
    """The port to listen on; 0 takes a free one."""
    allowed_hosts: tuple[HostName, ...] = Field(default=(), examples=["*.example.com"])
    """Further names in `Host` that the pages answer to, beside addresses and internal names."""
    runbook_url: str | None = Field(
        default=None, pattern=URL, examples=["https://wiki.example.com/runbook"]
    )
    """Address of the runbook; the status page links the section of each problem there."""


class NotificationSettings(Group):
    """Notices of gaps, stopped tables and many dead letters, to a webhook or a topic of SNS."""

    webhook_url: str | None = Field(
        default=None, pattern=URL, examples=["https://hooks.example.com/replicator"]
    )
    """An address that each notice is posted to, as JSON."""
    webhook_url_file: Path | None = None
    """A file that holds the address, where that is a secret; read for each notice."""
    secret_file: Path | None = None
    """A file that holds the secret that posts are signed with; read for each notice."""
    sns_topic: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$",
        examples=["arn:aws:sns:eu-west-1:123456789012:replicator"],
    )
    """A topic of Amazon SNS that each notice is published to."""
    sns_endpoint_url: str | None = Field(
        default=None,
        pattern=URL,
        examples=["https://vpce-0a1b.sns.eu-west-1.vpce.amazonaws.com"],
    )
    """Endpoint of SNS, as PrivateLink has one; null: that of the topic's region."""
    dead_letters_max: int = Field(default=100, ge=0)
    """With more open dead letters, a table is worth a notice."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.webhook_url and self.webhook_url_file:
            raise refuse(
                "webhook_url and webhook_url_file contradict each other", "keep one of them"
            )
        return self

    @property
    def wanted(self) -> bool:
        """True when a receiver is configured."""
        return any((self.webhook_url, self.webhook_url_file, self.sns_topic))

    def webhook(self) -> str | None:
        """The address of the webhook; ConfigurationError when unreadable."""
        if self.webhook_url_file is None:
            return self.webhook_url
        url = _read("notifications.webhook_url_file", self.webhook_url_file).decode(
            errors="replace"
        )
        if re.match(URL, url) is None:
            message = f"notifications.webhook_url_file {self.webhook_url_file} holds no address"
            raise ConfigurationError(message, remedy="write one that begins with https://")
        return url

    def secret(self) -> bytes | None:
        """The secret of signatures; ConfigurationError when unreadable."""
        if self.secret_file is None:
            return None
        return _read("notifications.secret_file", self.secret_file)


def _read(name: str, path: Path) -> bytes:
    try:
        content = path.read_bytes().strip()
    except OSError as error:
        message = f"{name} {path} cannot be read: {error.strerror}"
        raise ConfigurationError(message, remedy="check path and permissions") from error
    if not content:
        raise ConfigurationError(f"{name} {path} is empty", remedy="write it, or leave it out")
    return content


class LogSettings(Group):
    """Logs, which go to stderr."""

    level: Annotated[Literal["debug", "info", "warning", "error"], LowerCase] = "info"
    """The least level that is written."""
    format: Literal["json", "console"] | None = None
    """For machines or for a person; unset: `console` on a terminal, `json` elsewhere."""


class TracingSettings(Group):
    """Spans of OpenTelemetry, with the optional extra `otel`."""

    endpoint: str | None = Field(
        default=None, pattern=r"^https?://\S+$", examples=["http://127.0.0.1:4318"]
    )
    """Endpoint for spans, as OTLP over HTTP; without one, nothing is traced."""
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of the spans that is kept, chosen at random."""


class PollSettings(Group):
    """Reading of streams."""

    idle_seconds_max: float = Field(default=1.0, ge=0.01, le=60)
    """The longest wait between two reads of a shard that has nothing new."""

    discover_seconds: float = Field(default=30.0, ge=1, le=40)
    """Seconds between two polls of a stream for new shards, by one worker for all; more where the
    streams are so many, or so large, that AWS does not allow the calls. The children of a shard
    that ends are found at once."""

    pages_max: int = Field(default=24, ge=1, le=10_000)
    """The most pages of records that a process holds in memory, of all its tables together: up to
    1 MB each as DynamoDB counts, and 5 to 6 MB with what is made of them."""


class SnapshotSettings(Group):
    """Loading of tables."""

    read_units_per_second: int = Field(default=500, ge=1, le=1_000_000)
    """Read capacity that snapshots may use, of all workers together; one unit a second reads
    4 KB a second."""

    segments: int = Field(default=4, ge=1, le=256)
    """Into how many segments a table's scan is divided; so many workers can share one snapshot."""


class ExportSettings(Group):
    """Exports of tables to S3, for `export` in `initial_load` and `on_gap` (see
    operations/exports.md). Exports are asked for and read with the identity of the table's
    source."""

    bucket: str | None = Field(
        default=None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", examples=["orders-exports"]
    )
    """The bucket that exports are written to."""
    prefix: str | None = Field(
        default=None, pattern=r"^[^/].*[^/]$|^[^/]$", max_length=512, examples=["replicator"]
    )
    """The folder within the bucket."""
    bucket_owner: str | None = Field(default=None, pattern=r"^[0-9]{12}$")
    """The account that the bucket belongs to, where that is another one."""
    kms_key: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:kms:\S+$",
        examples=["arn:aws:kms:eu-west-1:123456789012:key/1234abcd"],
    )
    """A key of KMS for the encryption of the files; without one S3 encrypts."""
    endpoint_url: str | None = Field(
        default=None,
        pattern=ENDPOINT,
        examples=["https://bucket.vpce-0a1b.s3.eu-west-1.vpce.amazonaws.com"],
    )
    """Another endpoint of S3, such as PrivateLink's."""


class BatchSettings(Group):
    """Size of one transaction."""

    records_max: int = Field(default=1000, ge=1, le=10_000)
    """The most records of one batch."""
    transaction_seconds: float = Field(default=1.0, ge=0.05, le=30)
    """Time that a batch should take: after a slower one, or one that PostgreSQL ended, the
    following batches are smaller until batches are quick again.
    """


class GuardSettings(Group):
    """Versions of rows, kept where the order of records is not proved by a shard."""

    retention_hours: float = Field(default=48.0, ge=24, le=8760)
    """Time for which versions are kept; a stream holds the records for 24 hours."""


class HashingSettings(Group):
    """Hashing of personal data."""

    salt_file: Path | None = None
    """A file that holds the secret of the HMAC, at least 16 bytes. With the secret one can tell by
    trial which value a hash stands for; another one changes every hash."""

    def salt(self) -> bytes | None:
        """The secret; ConfigurationError when unreadable."""
        if self.salt_file is None:
            return None
        salt = _read("hashing.salt_file", self.salt_file)
        if len(salt) < SALT_BYTES_MIN:
            message = f"hashing.salt_file {self.salt_file} holds less than {SALT_BYTES_MIN} bytes"
            raise ConfigurationError(message, remedy="write one with `openssl rand -hex 32`")
        return salt


class Settings(Group):
    """One deployment: sources, targets, and the way between."""

    version: Literal[1] = 1
    """The version of the format."""
    deployment: str = Field(pattern=DEPLOYMENT, examples=["payments-prod"])
    """Names the replica everywhere: leases, positions, metrics.
    A target that another deployment claimed is refused."""
    source: SourceSettings = SourceSettings()
    """Place of the tables; a table may say otherwise."""
    coordination: CoordinationSettings = CoordinationSettings()
    """Leases and checkpoints in DynamoDB."""
    target: PostgresSettings = PostgresSettings()
    """The PostgreSQL database."""
    http: HttpSettings = HttpSettings()
    """The status page, metrics and health checks."""
    notifications: NotificationSettings = NotificationSettings()
    """Notices to a webhook or a topic of SNS."""
    log: LogSettings = LogSettings()
    """Logs."""
    tracing: TracingSettings = TracingSettings()
    """Spans of OpenTelemetry."""
    poll: PollSettings = PollSettings()
    """Reading of streams."""
    export: ExportSettings = ExportSettings()
    """Exports of tables to S3."""
    batch: BatchSettings = BatchSettings()
    """Size of one transaction."""
    snapshot: SnapshotSettings = SnapshotSettings()
    """Loading of tables."""
    guard: GuardSettings = GuardSettings()
    """Versions of rows."""
    hashing: HashingSettings = HashingSettings()
    """Hashing of personal data."""
    defaults: TargetSettings = TargetSettings()
    """Anything a target may say, as the default of all targets."""
    tables: dict[Annotated[str, Field(pattern=ENTRY)], TableSettings] = Field(min_length=1)
    """The source tables, under names of yours."""

    def table_specs(self) -> dict[str, TableSpec]:
        """The tables as plain facts, by the names of the entries."""
        hashed = any("hash" in table.personal.values() for table in self.tables.values())
        salt = self.hashing.salt() if hashed else None
        return {name: table.spec(name, self.defaults, salt) for name, table in self.tables.items()}

    def source_of(self, name: str) -> SourceSettings:
        """The place of an entry's table: own settings before the settings of all tables; an ARN has
        the region.
        """
        table = self.tables[name]
        place = table.source.below(self.source)
        arn = re.fullmatch(TABLE_ARN, table.table or "")
        if arn is None:
            return place
        return place.model_copy(update={"region": arn["region"]})

    def coordination_source(self) -> SourceSettings:
        """The place of the lease table."""
        return self.coordination.below(self.source)
