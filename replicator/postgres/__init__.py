"""The sink: the only importer of asyncpg."""
