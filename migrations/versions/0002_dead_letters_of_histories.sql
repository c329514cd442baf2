alter table {schema}.dead_letter
    add column of_history boolean not null default false;  -- wanted even after newer changes
