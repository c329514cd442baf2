"""Commands parse, call and print: the work is done in `app`, where another caller finds it too."""

import ast

from tests.house.ways import PACKAGE


def test_no_command_awaits_anything():
    waiting = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted((PACKAGE / "cli").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncWith | ast.Await)
    ]

    assert waiting == []
