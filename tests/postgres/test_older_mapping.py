"""A row says under which mapping it was written, as long as transaction numbers tell."""

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.table_spec import TargetSpec
from replicator.core.verify.row_diff import MustBe
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.read.compare_target_rows import TargetRows
from replicator.postgres.schema.migrate import migrate
from tests.postgres.loaded import registered
from tests.support.builders import table_mapping
from tests.support.specs import column_spec

CHANGED = table_mapping(
    TargetSpec("public.t", columns=(column_spec("n", "n", "bigint"), column_spec("s", "s", "text")))
)


async def test_rows_that_were_written_before_the_mapping_was_changed_are_told(
    migrated_database: str,
):
    table = await registered(migrated_database, table_mapping())

    async def register(mapping: TableMapping) -> None:
        await migrate(ConnectionSettings(dsn=migrated_database), "replicator", "test", [mapping])

    async def older(mapping: TableMapping) -> list[bool]:
        [target] = mapping.targets
        width = len(target.table.columns)
        must = [MustBe((key, "1", None)[:width]) for key in ("old", "touched")]
        found = await TargetRows(table.database, table.name).compare(target, must)
        return [row.older_mapping for row in found if row is not None]

    await table.sql("insert into public.t values ('old', 1), ('touched', 1)")
    await register(table_mapping())
    assert await older(table_mapping()) == [False, False]

    await register(CHANGED)
    await table.sql("update public.t set n = 2 where pk = 'touched'")
    await register(CHANGED)
    assert await older(CHANGED) == [True, False]

    # so many transactions later xmin has come round, and tells nothing
    await table.sql("update replicator.table_state set mapping_xid = mapping_xid - 3000000000")
    assert await older(CHANGED) == [False, False]
    await table.database.close()
