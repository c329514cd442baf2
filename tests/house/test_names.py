"""One name of a class or of a kind of value means one thing in the whole package."""

import ast
from collections import defaultdict
from collections.abc import Iterator

from tests.house.ways import PACKAGE

PORTS = "engine/ports.py"


def defined(module: ast.Module) -> Iterator[str]:
    """Names of classes and of types that a module defines: capitalised, not constants."""
    for node in module.body:
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name[0].isupper() and not name.isupper():
                    yield name


def places() -> dict[str, list[str]]:
    """The modules that define a name, for each name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in defined(ast.parse(path.read_text())):
            found[name].append(str(path.relative_to(PACKAGE)))
    return found


def test_a_name_is_defined_once_or_is_a_port_and_what_implements_it():
    twice = {
        name: modules
        for name, modules in places().items()
        if len([module for module in modules if module != PORTS]) > 1
    }

    assert twice == {}
