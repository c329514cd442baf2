"""The entry point of AWS Lambda: `replicator.lambda_handler.handler`."""

import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from replicator.app.aws_lambda.compose_function import function_of
from replicator.app.aws_lambda.execution_environment import BatchResponse, ExecutionEnvironment


class Context(Protocol):
    """Context of an invocation, as Lambda passes it."""

    def get_remaining_time_in_millis(self) -> int:
        """The time until the environment is killed."""
        ...


def handler(event: Mapping[str, Any], context: Context) -> BatchResponse:
    """Apply the records of an event; those that are to be delivered again are in the answer."""
    milliseconds = context.get_remaining_time_in_millis()
    return _function().handle(event, seconds_left=milliseconds / 1000)


@cache
def _function() -> ExecutionEnvironment:
    return function_of(os.environ, _line)


def _line(text: str) -> None:
    """Write a line to stdout, where CloudWatch looks for metrics; log lines go to stderr."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
