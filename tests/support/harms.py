"""What may happen to a target table so that `check` calls it an error, and the words for it."""

HARMS = {
    "a trigger rewrites rows": (
        "create function rewrite() returns trigger language plpgsql as "
        "'begin new.n := 0; return new; end';;"
        "create trigger rewrites before insert or update on {table} "
        "for each row execute function rewrite()",
        "the trigger 'rewrites' runs before each row",
    ),
    "a rule changes what is written": (
        "create rule hides as on delete to {table} do instead nothing",
        "has rules",
    ),
    "it is not logged": ("alter table {table} set unlogged", "is not logged"),
    "an identity column is always generated": (
        "alter table {table} alter column n set not null;;"
        "alter table {table} alter column n add generated always as identity",
        "is an identity column",
    ),
    "another unique index": (
        "create unique index other on {table} (n)",
        "the unique index 'other' \\(n\\) is not the key",
    ),
}
"""By what happens: the statements, and a regular expression for the message."""
