"""From a file and the environment to Settings, or to all mistakes at once."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from shlex import quote
from typing import Any

from pydantic import ValidationError

from replicator.config.cross_checks import Contradiction, contradictions, contradictions_of
from replicator.config.environment_overrides import CONFIG, Environment
from replicator.config.mistakes import Mistake, WrongConfiguration
from replicator.config.pydantic_errors import fault_of, path_of
from replicator.config.settings import Settings
from replicator.config.yaml_lines import Document, read_file
from replicator.errors import ConfigurationError

DEFAULT_PATH = FilePath("replicator.yaml")


def load(path: FilePath | None, environ: Mapping[str, str]) -> Settings:
    """Settings from a file (None: REPLICATOR_CONFIG, else ./replicator.yaml) below the environment.

    ConfigurationError with every mistake, the place and the remedy, and no secret.
    """
    found = path or FilePath(environ.get(CONFIG) or DEFAULT_PATH)
    document = read_file(found)
    if document.values == {}:
        remedy = f"let `replicator init --table NAME >{quote(str(found))}` propose one"
        raise WrongConfiguration([Mistake(document.where(()), (), "is empty", remedy)])
    return settings_from(document, Environment(environ))


def load_for_new_tables(
    path: FilePath | None, environ: Mapping[str, str]
) -> tuple[Settings, str | None]:
    """Settings without tables: of the file, where one is named, and the environment; and the name
    of the deployment, None where neither says one.

    REPLICATOR_CONFIG names one only if the file is not empty: `init` may be about to write
    the file. ConfigurationError as of `load`, and for a named file that is empty.
    """
    named = environ.get(CONFIG)
    if path is None and named and FilePath(named).is_file() and FilePath(named).stat().st_size:
        path = FilePath(named)
    document = Document("the configuration", "") if path is None else read_file(path)
    if path is not None and document.values == {}:
        message = f"the configuration {path} is empty"
        raise ConfigurationError(
            message, remedy="print into another file than the one that `--config` reads"
        )
    named_in_file = isinstance(document.values, dict) and "deployment" in document.values
    if isinstance(document.values, dict):
        document.values = {"deployment": _NO_DEPLOYMENT, "tables": _NO_TABLES, **document.values}
    environment = Environment(environ)
    settings = settings_from(document, environment)
    said = named_in_file or environment.where(("deployment",)) is not None
    return settings, settings.deployment if said else None


_NO_DEPLOYMENT = "unnamed"
_NO_TABLES: dict[str, Any] = {"none": {"into": {"public.none": {}}}}


def settings_from(document: Document, environment: Environment) -> Settings:
    """Settings from a document that is read already; errors as from `load`."""
    values = document.values
    if not isinstance(values, dict):
        fault = "must be a mapping of keys and values"
        raise WrongConfiguration(
            [Mistake(document.where(()), (), fault, "docs/configuration.md shows one to copy")]
        )
    values = environment.over(values)
    settings, faults = _validate(values)
    found = (
        contradictions(values)
        if settings is None
        else contradictions_of(
            settings.tables,
            settings.defaults,
            settings.source,
            values.get("hashing"),
            values.get("export"),
        )
    )
    mistakes = [
        *environment.mistakes,
        *document.mistakes,
        *(
            Mistake(environment.where(path) or document.where(path), path, fault, remedy)
            for path, fault, remedy in (*faults, *found)
        ),
    ]
    if settings is None or mistakes:
        raise WrongConfiguration(sorted(mistakes, key=_reading_order))
    return settings


def _validate(values: dict[str, Any]) -> tuple[Settings | None, list[Contradiction]]:
    try:
        return Settings.model_validate(values), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [(path_of(detail), *fault_of(detail)) for detail in details]


def _reading_order(mistake: Mistake) -> tuple[str, int]:
    place, _, line = mistake.where.rpartition(":")
    return (place, int(line)) if line.isdecimal() else (line, 0)
