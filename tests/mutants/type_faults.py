"""Faults in what a column type takes, keeps and is compared by, and in whom a connection trusts."""

from tests.mutants.mutant import Mutant

TABLE = "replicator/core/values/type_table.py"
CONVERSION = "tests/core/test_conversion.py"
NAMED = "tests/postgres/test_named_types.py"
PARAMETERS = "tests/postgres/test_connection_parameters.py"

TYPE_MUTANTS = [
    Mutant(
        "digits of a second beyond those of the type are left to PostgreSQL, which rounds",
        "replicator/core/values/clock_times.py",
        "len(found[1]) > digits",
        "len(found[1]) > 6",
        CONVERSION,
    ),
    Mutant(
        "a space at the end of a char is taken for padding",
        "replicator/core/values/scalars.py",
        'if isinstance(text, str) and text.endswith(" "):',
        'if isinstance(text, str) and text.endswith("\t"):',
        CONVERSION,
    ),
    Mutant(
        "a real takes what it would round",
        "replicator/core/values/numbers.py",
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
        "replicator/postgres/schema/type_fit.py",
        "if enum != (declared.row is ENUM) or found.schema != declared.schema:",
        "if found.schema != declared.schema:",
        NAMED,
    ),
    Mutant(
        "channel binding is forgotten",
        "replicator/postgres/connection/address.py",
        'if given.get("channel_binding") == "require":',
        'if given.get("channel_binding") == "required":',
        PARAMETERS,
    ),
    Mutant(
        "the machine's authorities are trusted without a look at the name",
        "replicator/postgres/connection/address.py",
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
