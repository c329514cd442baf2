"""Numbers the parameters of a statement in the order in which its parts take them."""


class Parameters:
    """The parameters of one statement; the first `used` are its fence's."""

    def __init__(self, used: int = 0) -> None:
        self._used = used

    def one(self, kind: str) -> str:
        """A single value of this type."""
        self._used += 1
        return f"${self._used}::{kind}"

    def arrays(self, types: tuple[str, ...]) -> str:
        """An array for each of the types, separated by commas."""
        return ", ".join(f"{self.one(kind)}[]" for kind in types)
