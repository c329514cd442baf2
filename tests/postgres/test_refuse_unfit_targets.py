"""What `check` calls an error about a target is found wherever rows are written."""

import pytest

from replicator.app.refuse_unfit_targets import require_fit
from replicator.errors import ConfigurationError
from tests.postgres.loaded import registered
from tests.support.builders import table_mapping, target
from tests.support.harms import HARMS
from tests.support.specs import child_spec, column_spec


@pytest.mark.parametrize(
    ("column", "kind"), [("public.t n", "real"), ("public.prices price", "double precision")]
)
async def test_a_column_of_a_target_or_of_its_children_that_rounds_is_refused(
    migrated_database: str, column: str, kind: str
):
    prices = child_spec("public.prices", "prices", value=column_spec("price", "price", "numeric"))
    loaded = await registered(migrated_database, table_mapping(target(children=(prices,))))
    await require_fit(loaded.database, [loaded.mapping])
    table, name = column.split()
    await loaded.sql(f"alter table {table} alter column {name} type {kind}")

    with pytest.raises(ConfigurationError, match=f"has the type {kind}"):
        await require_fit(loaded.database, [loaded.mapping])
    await loaded.database.close()


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
async def test_what_check_calls_an_error_keeps_everybody_from_writing(
    migrated_database: str, harm: tuple[str, str]
):
    statements, words = harm
    loaded = await registered(migrated_database, table_mapping(target()))
    await require_fit(loaded.database, [loaded.mapping])
    for statement in statements.format(table="public.t").split(";;"):
        await loaded.sql(statement)

    with pytest.raises(ConfigurationError, match=words):
        await require_fit(loaded.database, [loaded.mapping])
    await loaded.database.close()
