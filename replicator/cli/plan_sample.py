"""What `plan --sample` tells of a mapping: how the items that are there would fit it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replicator.config.settings import Settings
    from replicator.core.sample_fit import TargetFit

Sampled = dict[str, tuple[int, list["TargetFit"]]]
"""How many items were sampled of each table, and how they fit."""


async def sampled(settings: "Settings", count: int) -> Sampled:
    """Look at about `count` items of every table."""
    from replicator.app.sampling import sample_tables
    from replicator.config.connections import source_connection
    from replicator.core.mapping import compile_table
    from replicator.core.sample_fit import sample_fit

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


def sample_lines(found: Sampled) -> Iterator[str]:
    """Comments below the SQL: what is rejected stands out."""
    for source, (items, targets) in found.items():
        yield f"-- table {source}: {items} items were sampled"
        for target in targets:
            yield (
                f"--   {target.target}: {target.items} items belong here, {target.fits} fit, "
                f"about {target.row_bytes} bytes a row"
            )
            for column in target.columns:
                yield (
                    f"--     {column.name}: {column.converts} convert, {column.null} NULL, "
                    f"{column.rejected} rejected"
                )
                yield from (f"--       {reason}" for reason in column.reasons)


def sample_document(found: Sampled) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [
        {
            "table": source,
            "sampled": items,
            "targets": [
                {
                    "target": target.target,
                    "items": target.items,
                    "fits": target.fits,
                    "row_bytes": target.row_bytes,
                    "columns": [
                        {
                            "column": column.name,
                            "converts": column.converts,
                            "null": column.null,
                            "rejected": column.rejected,
                            "reasons": list(column.reasons),
                        }
                        for column in target.columns
                    ],
                }
                for target in targets
            ],
        }
        for source, (items, targets) in found.items()
    ]
