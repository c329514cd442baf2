-- A sequence number of more than 40 digits had room as a position, and stopped its table where it was
-- the version of a row or told a dead letter apart. PostgreSQL writes no row again for more digits.
alter table {schema}.row_version
    alter column sequence_number type numeric(60, 0),
    alter column values_number type numeric(60, 0);
alter table {schema}.dead_letter alter column sequence_number type numeric(60, 0);
