"""Target tables and the control schema: catalog, DDL, fitness, migrations, registry."""
