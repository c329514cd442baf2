-- For how long a stream keeps its records, where it may be asked; null: as long as every stream of its kind does.
alter table {schema}.generation add column retention interval;
