"""What a child table may say."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from replicator.config.columns import Columns, SourcePath
from replicator.config.group import Group, refuse
from replicator.core.mapping_spec import ChildSpec


class ChildSettings(Group):
    """A table of the elements of a list, a set or a map, keyed by parent and element."""

    from_: SourcePath = Field(alias="from", examples=["lines"])
    """The path to the list, set or map."""
    position: Annotated[str, Field(min_length=1)] | None = Field(default=None, examples=["line"])
    """The column of an element's position in a list or set, from 0; default: `position`."""
    map_key: Annotated[str, Field(min_length=1)] | None = Field(default=None, examples=["option"])
    """The column of an element's key in a map."""
    columns: Columns = Field(default={})
    """The columns; their paths lead into an element, which must be a map."""
    value: Columns | None = Field(
        default=None, min_length=1, max_length=1, examples=[{"tag": "text"}]
    )
    """Instead of `columns`, one column that holds an element which is no map."""
    rest: Annotated[str, Field(min_length=1)] | None = None
    """A jsonb column for all of an element that no column takes whole."""

    def spec(self, target: str) -> ChildSpec:
        """The child table as a fact."""
        value = next(iter(self.value.items()), None) if self.value else None
        return ChildSpec(
            target,
            self.from_,
            tuple(column.spec(name) for name, column in self.columns.items()),
            self.position or "position",
            self.map_key,
            None if value is None else value[1].spec(value[0]),
            self.rest,
        )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.position is not None and self.map_key is not None:
            raise refuse(
                "`position` and `map_key` contradict each other",
                "`position` is for a list or set, `map_key` for a map",
            )
        return self
