"""Faults in what a column type takes, keeps and is compared by, and in whom a connection trusts."""

from tests.mutants.mutant import Mutant

TABLE = "replicator/core/values/column_types.py"
CONVERSION = "tests/core/test_converters.py"
NAMED = "tests/postgres/test_named_types.py"
PARAMETERS = "tests/postgres/test_dsn_parameters.py"

TYPE_MUTANTS = [
    Mutant(
        "a number finer than a microsecond is cut though nobody declared it",
        "replicator/core/values/by_type/timestamps.py",
        'if rest and fraction == "reject":',
        'if not cut and fraction == "reject":',
        CONVERSION,
    ),
    Mutant(
        "a time is cut to microseconds where its column has fewer digits",
        "replicator/core/values/by_type/timestamps.py",
        'coarser = 6 - digits if fraction == "truncate" else 0',
        "coarser = 0",
        CONVERSION,
    ),
    Mutant(
        "digits beyond the microsecond that are no zeros are cut though nobody declared it",
        "replicator/core/values/by_type/timestamps.py",
        'return re.compile(r"(?<=\\.[0-9]{6})0{1,3}(?![0-9])")',
        'return re.compile(r"(?<=\\.[0-9]{6})[0-9]{1,3}(?![0-9])")',
        CONVERSION,
    ),
    Mutant(
        "a time before 1970 is cut towards the future",
        "replicator/core/values/by_type/timestamps.py",
        "    cut, rest = divmod(found, int(10**finer))",
        "    cut, rest = int(found / 10**finer), found % 10**finer",
        CONVERSION,
    ),
    Mutant(
        "digits of a second beyond those of the type are left to PostgreSQL, which rounds",
        "replicator/core/values/by_type/clock_times.py",
        "len(found[1]) > digits",
        "len(found[1]) > 6",
        CONVERSION,
    ),
    Mutant(
        "a space at the end of a char is taken for padding",
        "replicator/core/values/by_type/scalars.py",
        'if isinstance(text, str) and text.endswith(" "):',
        'if isinstance(text, str) and text.endswith("\t"):',
        CONVERSION,
    ),
    Mutant(
        "a real takes what it would round",
        "replicator/core/values/canonical_numbers.py",
        "return canonical_number(shortest) == canonical",
        "return bool(shortest)",
        CONVERSION,
    ),
    Mutant(
        "texts of citext that differ in case are equal",
        TABLE,
        "return replace(row, extension=extension, compared=AS_TEXT)",
        "return replace(row, extension=extension)",
        NAMED,
    ),
    Mutant(
        "a text that is no label ends a comparison",
        TABLE,
        'asked_as="text",  # a text that is no label',
        "asked_as=None,  # a text that is no label",
        NAMED,
    ),
    Mutant(
        "any type in a schema is taken for the enum type of that name",
        "replicator/postgres/schema/type_fitness.py",
        "if enum != (declared.row is ENUM) or found.schema != declared.schema:",
        "if found.schema != declared.schema:",
        NAMED,
    ),
    Mutant(
        "channel binding is forgotten",
        "replicator/postgres/connection/server_addresses.py",
        'if given.get("channel_binding") == "require":',
        'if given.get("channel_binding") == "required":',
        PARAMETERS,
    ),
    Mutant(
        "the machine's authorities are trusted without a look at the name",
        "replicator/postgres/connection/server_addresses.py",
        'if sslrootcert == SYSTEM and sslmode not in (None, "verify-full"):',
        'if sslrootcert == SYSTEM and sslmode == "disable":',
        PARAMETERS,
    ),
    Mutant(
        "a password file that others may read is used",
        "replicator/postgres/connection/password_file.py",
        "if mode & (stat.S_IRWXG | stat.S_IRWXO):",
        "if mode & stat.S_IRWXO:",
        PARAMETERS,
    ),
]
