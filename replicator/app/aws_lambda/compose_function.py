"""Builds a Lambda function from the package, the environment variables and secrets of AWS."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from replicator.app.aws_lambda.execution_environment import ExecutionEnvironment
from replicator.aws.secret_parsing import password_in
from replicator.aws.signed_calls_without_sdk import call, credentials_in, rds_token
from replicator.clock import Clock, SystemClock
from replicator.config.connection_parameters import connection_settings
from replicator.config.load_settings import load
from replicator.config.settings import PostgresSettings
from replicator.errors import ConfigurationError
from replicator.monitoring.log_output import configure_logs
from replicator.postgres.connection.connect import Password
from replicator.postgres.connection.database import Database

POOL_SIZE = 1
"""An environment handles one event at a time."""
_JSON_SERVICES = {
    "secretsmanager": "secretsmanager.GetSecretValue",
    "ssm": "AmazonSSM.GetParameter",
}


def function_of(environ: Mapping[str, str], write: Callable[[str], None]) -> ExecutionEnvironment:
    """The function that an environment serves; ConfigurationError with every mistake."""
    settings = load(None, environ)
    configure_logs(level=settings.log.level, format=settings.log.format)
    clock = SystemClock()
    target = settings.target
    database = Database(
        connection_settings(
            target,
            password=_password(target, environ, clock),
            iam_token=partial(_token, environ, clock) if target.iam_auth else None,
        ),
        deployment=settings.deployment,
        control_schema=target.control_schema,
        pool_size=POOL_SIZE,
        worker_id=environ.get("AWS_LAMBDA_FUNCTION_NAME", "lambda"),
    )
    return ExecutionEnvironment(settings, database, clock=clock, write=write)


def _password(
    target: PostgresSettings, environ: Mapping[str, str], clock: Clock
) -> Password | None:
    at = target.secrets_endpoint_url
    if target.password_secret is not None:
        arn = target.password_secret
        return partial(_stored, environ, clock, arn, {"SecretId": arn}, at)
    if target.password_parameter is not None:
        arn = target.password_parameter
        return partial(_stored, environ, clock, arn, {"Name": arn, "WithDecryption": True}, at)
    return None


async def _stored(
    environ: Mapping[str, str],
    clock: Clock,
    arn: str,
    body: Mapping[str, object],
    endpoint_url: str | None,
) -> str:
    _, partition, service, region = arn.split(":")[:4]
    answer: Any = await call(
        endpoint_url or _endpoint(environ, service, region, partition),
        _JSON_SERVICES[service],
        body,
        service=service,
        region=region,
        credentials=credentials_in(environ),
        now=clock.now(),
    )
    text = answer["Parameter"]["Value"] if service == "ssm" else answer.get("SecretString")
    return password_in(text or "", arn)


def _endpoint(environ: Mapping[str, str], service: str, region: str, partition: str) -> str:
    own = environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or environ.get("AWS_ENDPOINT_URL")
    suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    return own or f"https://{service}.{region}.{suffix}/"


async def _token(environ: Mapping[str, str], clock: Clock, host: str, port: int, user: str) -> str:
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not region:
        message = "the environment names no region for the token of RDS IAM"
        raise ConfigurationError(message, remedy="set AWS_REGION")
    return rds_token(
        host, port, user, region=region, credentials=credentials_in(environ), now=clock.now()
    )
