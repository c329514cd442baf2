"""Prints the figures of the house: `python -m tests.house.figures`."""

import ast
import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from replicator.demo.embedded_servers import embedded_postgres
from tests.house.record_way import record_way
from tests.house.ways import PACKAGE, Way, column_way
from tests.support.postgres import fresh_database

PRONOUNS = re.compile(
    r"\b(it|its|they|them|their|this|these|those|he|she|we|us|our|who|whose|whoever"
    r"|nobody|somebody|anybody)\b",
    re.IGNORECASE,
)
RIDDLES = re.compile(r"(What|Who|Whether|How|Which|Where|When|The same)\b")


def rooms() -> Counter[str]:
    """Modules of each folder of the package, `__init__` not counted."""
    return Counter(
        str(path.parent.relative_to(PACKAGE.parent))
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    )


def docstrings() -> Iterator[tuple[Path, int, str]]:
    """Every docstring of the package, those below attributes too: file, line, text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield path, getattr(node, "lineno", 1), text
                for before, after in zip(node.body, node.body[1:], strict=False):
                    if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(
                        after, ast.Expr
                    ):
                        value = getattr(after.value, "value", None)
                        if isinstance(value, str):
                            yield path, after.lineno, value


def pronouns_per_hundred_words() -> float:
    """How often docstrings name their subject by a pronoun."""
    words = pronouns = 0
    for _, _, text in docstrings():
        words += len(re.findall(r"[A-Za-z']+", text))
        pronouns += len(PRONOUNS.findall(text))
    return 100 * pronouns / words


def riddles() -> list[str]:
    """Docstrings that begin with a question word instead of a noun or a verb."""
    return [
        f"{path.relative_to(PACKAGE.parent)}:{line} {text.splitlines()[0]}"
        for path, line, text in docstrings()
        if RIDDLES.match(text)
    ]


def main() -> None:
    """Print all of it."""
    for room, modules in rooms().most_common():
        print(f"{modules:4} {room}")
    found = riddles()
    print(f"{pronouns_per_hundred_words():.2f} pronouns per hundred words of docstring")
    print(f"{len(found)} docstrings that begin with a question word or 'The same'")
    for riddle in found:
        print("   ", riddle)
    with embedded_postgres() as server:
        record = asyncio.run(_record_way(server.dsn))
    print(f"a usual record: {len(record.modules)} files, {record.returns} returns")
    print("   ", " ".join(record.stays))
    with TemporaryDirectory() as directory:
        column = column_way(Path(directory) / "replicator.yaml")
    print(f"a column of the configuration: {len(column.modules)} files, {column.returns} returns")


async def _record_way(server_dsn: str) -> Way:
    async with fresh_database(server_dsn, template="template0") as dsn:
        return await record_way(dsn)


if __name__ == "__main__":
    main()
