"""Log lines on stderr, JSON or for a terminal: the program's own, and those of the libraries."""

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

from replicator.monitoring.exception_redaction import trace

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]

_NAME = "replicator"
_Line = MutableMapping[str, Any]


def configure_logs(
    *,
    level: Level,
    format: Format | None = None,  # noqa: A002 (the setting's name)
    stream: TextIO | None = None,
) -> None:
    """Send all lines to `stream` (stderr); no line ever goes to stdout.

    `format` None: `console` where `stream` is a terminal, else `json`. `level` is for the program's
    lines; libraries speak from warning on. Messages of exceptions of other libraries may quote an
    item, so only debug shows such messages. May be called again, the last call counts.
    """
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Failure(messages=level == "debug"),
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(
                    format or ("console" if handler.stream.isatty() else "json"), handler.stream
                ),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_NAME).setLevel(level.upper())
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers made before a second call must follow it
    )


def is_told(level: Level) -> bool:
    """True when lines of ours of the level are written."""
    return logging.getLogger(_NAME).isEnabledFor(getattr(logging, level.upper()))


def logger(**context: object) -> structlog.stdlib.BoundLogger:
    """The logger of the program; `context` goes with every line of it."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(_NAME, **context)
    return bound


class _Failure:
    """Writes an exception as text, without what a database may have quoted in it."""

    def __init__(self, *, messages: bool) -> None:
        self._messages = messages

    def __call__(self, _logger: object, _method: str, line: _Line) -> _Line:
        error = line.pop("exc_info", None)
        if error is True:
            error = sys.exc_info()
        if isinstance(error, tuple):
            error = error[1]
        if isinstance(error, BaseException):
            line["exception"] = trace(error, messages=self._messages)
        return line


def _renderer(format: Format, stream: TextIO) -> Processor:  # noqa: A002 (the setting's name)
    match format:
        case "json":
            return _json
        case "console":
            return structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
            )


def _json(_logger: object, _method: str, line: _Line) -> str:
    """ASCII, so that no name and no terminal can spoil a line."""
    first = {key: line.pop(key) for key in ("timestamp", "level", "event") if key in line}
    return json.dumps(first | dict(line), default=str)
