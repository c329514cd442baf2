"""Spaces the DescribeStream calls of one process: AWS allows an account ten in a second."""

import asyncio

FIRST_PAGE_SECONDS = 1 / 8
"""Between two listings of streams: all tables of a process together begin eight in a second."""
PAGE_SECONDS = 1 / 5
"""Before each further page: the listing of a large stream leaves half to others of the account."""
SLOWER_MAX = 32.0
FASTER = 0.9


class DescribePace:
    """One for all tables of a process, as the limit is one for all tables of an account.

    Who asks first is served first. Refusals of AWS double the pauses, as other processes of the
    account call too; answers shorten them again.
    """

    def __init__(self) -> None:
        self._free_at = 0.0
        self._slower = 1.0

    async def turn(self, *, first: bool) -> None:
        """Wait for the turn of one call."""
        now = asyncio.get_running_loop().time()
        at = max(now, self._free_at)
        self._free_at = at + self._slower * (FIRST_PAGE_SECONDS if first else PAGE_SECONDS)
        if at > now:
            await asyncio.sleep(at - now)

    def refused(self) -> None:
        """AWS says that it is too much."""
        self._slower = min(SLOWER_MAX, 2 * self._slower)

    def answered(self) -> None:
        """AWS has answered."""
        self._slower = max(1.0, FASTER * self._slower)
