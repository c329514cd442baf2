"""Tables by the names that a person types."""

from difflib import get_close_matches
from typing import TYPE_CHECKING

from replicator.core.mapping_spec import TableSpec
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from replicator.config.settings import Settings


def spec_of(settings: "Settings", name: str) -> TableSpec:
    """The table that the configuration has under this name; ConfigurationError."""
    specs = settings.table_specs()
    if name in specs:
        return specs[name]
    near = get_close_matches(name, specs, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(specs))}"
    raise ConfigurationError(f"the configuration has no table {name!r}", remedy=remedy)
