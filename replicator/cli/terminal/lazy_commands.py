"""Loads the module of a command only for a call of that command, so that `--help` is quick.

A group of the command line knows the commands by name, module and one line of help. `--help`,
completion and "did you mean" need no more; a look-up by name imports the
module. So the modules of commands import everything at the top.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, ClassVar, cast

import typer
from typer.core import TyperCommand, TyperGroup

Command = TyperCommand | TyperGroup


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command: `module:attribute` of the function or of the group, and the line of help."""

    place: str
    short_help: str

    def load(self, name: str) -> Command:
        """Import the command's module and return the command under the name."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(rich_markup_mode=None, add_completion=False)
            single.command(name, short_help=self.short_help)(found)
            found = single
        command = typer.main.get_command(found)
        command.name = name
        return cast(Command, command)


class _Commands(MutableMapping[str, Command]):
    """Commands of a group by name; a value is imported at the first access."""

    def __init__(self, entries: Mapping[str, CommandEntry]) -> None:
        self._entries = entries
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._loaded:
            self._loaded[name] = self._entries[name].load(name)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._entries, **self._loaded})

    def __len__(self) -> int:
        return len({**self._entries, **self._loaded})


class LazyGroup(TyperGroup):
    """A group with the commands of `entries`, in the order of help, and short names for some."""

    entries: ClassVar[Mapping[str, CommandEntry]] = {}
    aliases: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - Typer's own settings, passed on
        super().__init__(**settings)
        self.commands = cast(Any, _Commands(self.entries))

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - the signature is Typer's
        """The names of the commands, in order."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - Typer's own types
        """The command of a name or of a short name; None: there is none."""
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def format_commands(self, ctx: object, formatter: Any) -> None:  # noqa: ANN401, ARG002
        """Write the commands' lines of help without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in self.entries.items()])


def lazy_group(
    entries: Mapping[str, CommandEntry], aliases: Mapping[str, str] = MappingProxyType({})
) -> type[LazyGroup]:
    """The class of a group that has the given commands, some by a short name, too."""
    return type("Group", (LazyGroup,), {"entries": entries, "aliases": aliases})
