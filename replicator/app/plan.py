"""Everything that a changed configuration asks for, and how a sample of items fits the mapping."""

from replicator.app.compile_mappings import refuse_unfit_streams, require_tables
from replicator.app.describe_and_sample_tables import sample_tables
from replicator.config.connection_parameters import (
    migrate_connection,
    source_connection,
    target_connection,
)
from replicator.config.settings import Settings
from replicator.core.mapping.compile_mapping import compile_table
from replicator.core.proposal.sample_fit import TargetFit, sample_fit
from replicator.core.snapshot.scan_and_export_cost import ScanCost, scan_cost
from replicator.postgres.schema.database_survey import Survey
from replicator.postgres.schema.migrate import look
from replicator.postgres.schema.server_fitness import require_fit_server

SampledFit = dict[str, tuple[int, list[TargetFit]]]
"""Number of sampled items by table, and the fit of each target."""


async def survey_changes(settings: Settings) -> tuple[Survey, dict[str, ScanCost]]:
    """The survey of the target database, and the estimated cost of scanning each table."""
    tables = await require_tables(settings)
    refuse_unfit_streams(tables)
    rate = settings.snapshot.read_units_per_second
    costs = {
        table.mapping.spec.name: scan_cost(
            items=table.description.item_count,
            size_bytes=table.description.size_bytes,
            units_per_second=rate,
        )
        for table in tables
    }
    survey = await look(
        migrate_connection(settings.target),
        settings.target.control_schema,
        settings.deployment,
        [table.mapping for table in tables],
        runner=target_connection(settings.target),
    )
    require_fit_server(survey.catalog)
    return survey, costs


async def sampled_fit(settings: Settings, count: int) -> SampledFit:
    """Read about `count` items of every table and convert each; nothing is written."""
    specs = settings.table_specs()
    tables = await sample_tables(
        [(spec.table, source_connection(settings.source_of(name))) for name, spec in specs.items()],
        count,
    )
    return {
        name: (
            len(table.images),
            sample_fit(compile_table(spec, table.description.key), table.images),
        )
        for (name, spec), table in zip(specs.items(), tables, strict=True)
    }
