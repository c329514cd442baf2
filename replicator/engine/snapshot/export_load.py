"""Loads of exports to S3: has them made, verifies them, reads the files as pages.

The first segment of such a snapshot, which one worker holds at a time, has the exports made
(`ExportMaking`): it learns the source's time after the COMMIT of the guard, puts on record which
exports are wanted, each with the token of its request, asks for them, and waits. Every step is on
record before the next, so that whoever takes the segment over goes on, and the token keeps a
request that is made twice from being two exports. When all are complete and the manifests verified,
it adds the segments that load the files.

A segment reads the files one after the other (`ExportFiles`): each is read twice, first to verify
its checksum and count, so that no line of a damaged file is written, then line by line for its
pages.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from replicator.core.snapshot.export_lines import ChangesPage, changes_of_lines, items_of_lines
from replicator.core.snapshot.export_manifest import DataFile, require_fit
from replicator.core.snapshot.export_windows import Window, export_time, in_utc, why_not, windows
from replicator.core.snapshot.scan_responses import ScanPage
from replicator.core.snapshot.snapshot_state import ExportRecord, SegmentClaim, WantedExports
from replicator.engine.backoff import Backoff, stopped_within, with_retries
from replicator.engine.ports import ExportRecords, Exports
from replicator.errors import ExportUnfit, SourceUnavailable

LINES_PER_PAGE = 1000
"""Lines of one page: their rows are one transaction, as of a scan."""
BYTES_PER_PAGE = 1024 * 1024
"""Bytes of one page, as of a scan: big items make small pages."""
WAIT_SECONDS_MAX = 30.0
"""Between two polls of an export that is being made: minutes at least, hours for a big table."""


class ExportMaking:
    """Has the exports of one snapshot made, and lays the files out."""

    def __init__(
        self,
        exports: Exports,
        records: ExportRecords,
        claim: SegmentClaim,
        live: Callable[[], None],
    ) -> None:
        self._exports = exports
        self._records = records
        self._claim = claim
        self._live = live
        self._told: str | None = None

    async def run(self, stopping: asyncio.Event) -> bool:
        """Continue from the state on record; False when asked to stop first.

        ExportUnfit where no export can be had that may be loaded.
        """
        backoff = Backoff(base=0.5, cap=WAIT_SECONDS_MAX)
        while not stopping.is_set():
            wanted = await self._records.wanted(self._claim.snapshot_id)
            try:
                waits_for = await self._step(wanted)
            except SourceUnavailable as error:  # tried again without end: who waits knows for what
                remedy = f"; {error.remedy}" if error.remedy else ""
                await self._tell(f"{error}{remedy}")
                raise
            self._live()
            if waits_for is None:
                backoff.succeeded()  # the next one may be complete long since
                continue
            if waits_for == "":
                return True
            await self._tell(waits_for)
            if await self._waited(stopping, backoff.next_seconds()):
                return False
        return False

    async def _tell(self, waits_for: str) -> None:
        if waits_for != self._told:
            self._told = waits_for
            await self._records.tell(self._claim, waits_for)

    async def _waited(self, stopping: asyncio.Event, seconds: float) -> bool:
        stopped = await stopped_within(stopping, seconds)
        self._live()
        return stopped

    async def _step(self, wanted: WantedExports) -> str | None:
        """Take one step; the reason to wait, None where the next is due, "" when all is done."""
        if wanted.guarded_at is None:
            await self._records.guarded(self._claim, await with_retries(self._exports.now))
            return None
        if not wanted.exports:
            await self._want(wanted, wanted.guarded_at)
            return None
        for export in wanted.exports:
            if export.arn is None:
                return await self._ask(export)
        for export in wanted.exports:
            if export.bucket is None:
                return await self._look(export, wanted.guarded_at)
        await self._records.lay_out(self._claim)
        return ""

    async def _want(self, wanted: WantedExports, guarded_at: datetime) -> None:
        if wanted.given_export is not None:
            await self._records.want(self._claim, [None], wanted.given_export)
        elif wanted.origin == "export":
            await self._records.want(self._claim, [export_time(guarded_at)], None)
        else:
            since = min(wanted.cuts, default=None)
            recovery = await with_retries(self._exports.recovery)
            reason = why_not(since, recovery, room=timedelta(0))
            if reason is not None:
                raise ExportUnfit(reason, remedy="load the whole table")
            found = windows(wanted.cuts, guarded_at)
            await self._records.want(self._claim, found, None)

    async def _ask(self, export: ExportRecord) -> str | None:
        """Ask for an export as soon as the table can be restored to its time."""
        recovery = await with_retries(self._exports.recovery)
        if recovery is None or export.until is None:  # only one that is given has no time
            message = "point-in-time recovery is off, which exports need"
            raise ExportUnfit(message, remedy="turn it on, or load the table by a scan")
        if recovery.latest < export.until:
            return f"an export of {in_utc(export.until)} can be asked for some minutes later"
        wanted = export.until if export.since is None else Window(export.since, export.until)
        arn = await with_retries(lambda: self._exports.ask(wanted, token=export.client_token))
        await self._records.asked(self._claim, export.phase, arn)
        return None

    async def _look(self, export: ExportRecord, guarded_at: datetime) -> str | None:
        """Ask whether an export is complete; then verify its table, and the list of files."""
        arn = export.arn or ""
        summary_place = await with_retries(lambda: self._exports.complete(arn))
        if summary_place is None:
            return f"{arn} is being made"
        bucket, key = summary_place
        summary = await with_retries(lambda: self._exports.summary(bucket, key))
        require_fit(summary, export, guarded_at, await with_retries(self._exports.table_arn))
        await with_retries(lambda: self._exports.files(summary))
        await self._records.complete(self._claim, export.phase, summary, key)
        return None


@dataclass(frozen=True, slots=True)
class _Place:
    """Place of a segment: the number of the file, and the lines that are written."""

    file: int
    lines: int

    @classmethod
    def of(cls, position: str | None) -> "_Place":
        return cls(0, 0) if position is None else cls(*json.loads(position))

    @property
    def position(self) -> str:
        return json.dumps([self.file, self.lines])


class ExportFiles:
    """Pages of the files of one segment; the last page has no `last_key`."""

    def __init__(
        self,
        exports: Exports,
        records: ExportRecords,
        claim: SegmentClaim,
        live: Callable[[], None],
    ) -> None:
        self._exports = exports
        self._records = records
        self._claim = claim
        self._live = live

    async def pages(self) -> AsyncGenerator[ScanPage | ChangesPage]:
        """The pages behind the segment's position, one ahead of the last, which alone ends it."""
        place = _Place.of(self._claim.position)
        files = await self._files()
        held: tuple[list[bytes], _Place] = ([], place)
        for number in range(place.file, len(files)):
            file, skip = files[number], place.lines if number == place.file else 0
            await self._exports.verify(self._bucket, file, live=self._live)
            async with aclosing(self._lines_of(number, file, skip)) as found:
                async for lines, after in found:
                    if held[0]:
                        yield self._page(*held)
                    held = lines, after
        yield self._page(held[0], None)

    async def _files(self) -> list[DataFile]:
        claim = self._claim
        wanted = await self._records.wanted(claim.snapshot_id)
        [export] = [each for each in wanted.exports if each.phase == claim.phase]
        self._bucket, key = export.bucket or "", export.summary_key or ""
        summary = await with_retries(lambda: self._exports.summary(self._bucket, key))
        files = await with_retries(lambda: self._exports.files(summary))
        return files[claim.share :: claim.parts]

    async def _lines_of(
        self, number: int, file: DataFile, skip: int
    ) -> AsyncGenerator[tuple[list[bytes], _Place]]:
        """Lines of one file by pages, with the place behind each."""
        page: list[bytes] = []
        read = size = 0
        async with aclosing(self._exports.lines(self._bucket, file)) as found:
            async for lines in found:
                self._live()
                for line in lines[max(0, skip - read) :]:
                    page.append(line)
                    size += len(line)
                    if len(page) == LINES_PER_PAGE or size >= BYTES_PER_PAGE:
                        skip += len(page)
                        yield page, _Place(number, skip)
                        page, size = [], 0
                read += len(lines)
        if page:
            yield page, _Place(number, skip + len(page))

    def _page(self, lines: list[bytes], after: _Place | None) -> ScanPage | ChangesPage:
        last_key = None if after is None else after.position
        if self._claim.origin == "changes":
            return ChangesPage(changes_of_lines(lines), last_key)
        return ScanPage(items_of_lines(lines), last_key, 0.0)
