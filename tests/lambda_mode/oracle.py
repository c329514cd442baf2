"""What changes of items end in when they are applied one by one: rows, histories, dead letters."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from tests.support.builders import NOON
from tests.support.lambda_events import Record, change

CONFIGURATION = """
version: 1
deployment: test
target: {{dsn: "{dsn}", pooler: {pooler}}}
tables:
  orders:
    poller: {poller}
    initial_load: stream
    into:
      public.t: {{columns: {{n: bigint}}, history: public.t_history}}
      public.soft:
        when: {{kind: here}}
        columns: {{n: bigint}}
        on_delete: soft
        on_expire: delete
        children:
          public.parts: {{from: parts, position: place, value: {{part: text}}}}
"""

EXPIRED = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
Gone = Literal["removed", "expired"]
SoftRow = tuple[int, datetime | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Put:
    """An item; without a number its `n` fits nowhere. `here`: the soft target takes it."""

    n: int | None
    here: bool = True
    parts: tuple[str, ...] = ()


@dataclass(slots=True)
class Expected:
    """All that is compared."""

    rows: dict[str, int] = field(default_factory=dict)
    soft: dict[str, SoftRow] = field(default_factory=dict)
    history: set[tuple[str, int]] = field(default_factory=set)
    open_letters: set[tuple[str, str, int]] = field(default_factory=set)

    def apply(self, number: int, key: str, made: Put | Gone) -> None:
        """One more change, the newest."""
        self.history.add((key, number))
        self.open_letters = {letter for letter in self.open_letters if letter[0] != key}
        if made == "expired":
            self.rows.pop(key, None)
            self.soft.pop(key, None)
        elif made == "removed":
            self.rows.pop(key, None)
            self._leave(number, key)
        else:
            self._put(number, key, made)

    def _put(self, number: int, key: str, item: Put) -> None:
        if item.n is None:
            self.open_letters.add((key, "public.t", number))
        else:
            self.rows[key] = item.n
        if not item.here:
            self._leave(number, key)
        elif item.n is None:
            self.open_letters.add((key, "public.soft", number))
        else:
            self.soft[key] = (item.n, None, item.parts)

    def _leave(self, number: int, key: str) -> None:
        if key in self.soft:
            n, _, parts = self.soft[key]
            self.soft[key] = (n, at(number), parts)


def at(number: int) -> datetime:
    """When the change with this number was made."""
    return NOON + timedelta(seconds=number)


def record_of(number: int, key: str, made: Put | Gone) -> Record:
    """A change as Lambda hands it over."""
    if isinstance(made, Put):
        return change(
            number,
            key,
            at=at(number),
            n={"S": "no number"} if made.n is None else {"N": str(made.n)},
            kind={"S": "here" if made.here else "elsewhere"},
            parts={"L": [{"S": part} for part in made.parts]},
        )
    record = change(number, key, at=at(number), removed=True)
    return {**record, "userIdentity": EXPIRED} if made == "expired" else record
