"""Faults in what is loaded from exports: which are new enough, complete, and of which order."""

from tests.mutants.mutant import Mutant

EXPORTS = "tests/core/test_exports.py"
HOSTILE = "tests/core/test_hostile_inputs.py"
LOADS = "tests/postgres/test_exports.py"

WINDOWS = "replicator/core/snapshot/export_windows.py"
MANIFEST = "replicator/core/snapshot/export_manifest.py"
SNAPSHOTS = "replicator/postgres/control/snapshot/snapshots.py"
VERSIONS = "replicator/postgres/write/row_guard_sql.py"
SEGMENTS = "replicator/postgres/control/snapshot/segment_claims.py"

EXPORT_MUTANTS = [
    Mutant(
        "a page that is written in parts is counted with each of them",
        "replicator/engine/snapshot/plan_and_apply_page.py",
        "PART_OF_A_PAGE = SegmentAdvance(position=None, items=0,",
        "PART_OF_A_PAGE = SegmentAdvance(position=None, items=2,",
        "tests/postgres/test_page_counts.py",
    ),
    Mutant(
        "who lost the part that has the exports made refuses what another was given",
        "replicator/postgres/control/snapshot/exports.py",
        """            await self._require_held(connection, claim)
            await connection.execute(self._control.sql(REFUSE)""",
        "            await connection.execute(self._control.sql(REFUSE)",
        LOADS,
    ),
    Mutant(
        "the windows of a gap begin where it began, without a margin",
        WINDOWS,
        "_floor(min(cuts) - SINCE_MARGIN)",
        "_floor(min(cuts))",
        EXPORTS,
    ),
    Mutant(
        "a second is missing between two windows",
        WINDOWS,
        "found = [Window(*stretch) for stretch in pairwise(bounds)]",
        "found = [Window(a + _SECOND * (a > bounds[0]), b) for a, b in pairwise(bounds)]",
        EXPORTS,
    ),
    Mutant(
        "the newest window ends at the guard",
        WINDOWS,
        "    until = max(export_time(guarded_at), ",
        "    until = max(_ceil(guarded_at), ",
        EXPORTS,
    ),
    Mutant(
        "windows begin at the second of a cut alone",
        WINDOWS,
        "for second in CUT_SECONDS}",
        "for second in (0,)}",
        EXPORTS,
    ),
    Mutant(
        "windows begin at the cut of the first shard alone",
        WINDOWS,
        "edges = _edges(cuts)",
        "edges = _edges([min(cuts)])",
        EXPORTS,
    ),
    Mutant(
        "the oldest window of a gap is loaded first",
        WINDOWS,
        "key=lambda window: (window.until, window.since), reverse=True)",
        "key=lambda window: (window.until, window.since))",
        EXPORTS,
    ),
    Mutant(
        "an export that is older than the guard is loaded",
        MANIFEST,
        "if summary.at < guarded_at + MARGIN:",
        "if summary.at + MARGIN * 2 < guarded_at:",
        EXPORTS,
    ),
    Mutant(
        "an export of another table is loaded",
        MANIFEST,
        "if summary.table_arn != table_arn:",
        "if not summary.table_arn:",
        EXPORTS,
    ),
    Mutant(
        "a file that is missing from the list is not missed",
        MANIFEST,
        "if total != summary.items:",
        "if total > summary.items:",
        EXPORTS,
    ),
    Mutant(
        "a file that is listed twice stands for one that is not listed",
        MANIFEST,
        "if len({line.dataFileS3Key for line in lines}) != len(lines):",
        "if not lines and summary.items:",
        HOSTILE,
    ),
    Mutant(
        "a gap is healed from exports that are soon out of reach",
        WINDOWS,
        "if begin < earliest + room:",
        "if begin < earliest:",
        EXPORTS,
    ),
    Mutant(
        "a file that does not match its checksum is loaded",
        MANIFEST,
        "if digest != expected:",
        "if not digest:",
        EXPORTS,
    ),
    Mutant(
        "rows are swept after a heal",
        SNAPSHOTS,
        'for target in (targets if origin != "changes" else ())',
        "for target in targets",
        LOADS,
    ),
    Mutant(
        "a heal takes the place of a load of the whole table",
        SNAPSHOTS,
        "            then p.origin else s.origin end\n",
        "            then s.origin else s.origin end\n",
        LOADS,
    ),
    Mutant(
        "a heal closes the dead letters of items that it does not name",
        SNAPSHOTS,
        "   and s.origin <> 'changes'\n",
        "",
        LOADS,
    ),
    Mutant(
        "an older window is written over a newer one",
        VERSIONS,
        'distinct from excluded.snapshot_id",\n    },\n    # What was seen',
        'distinct from -1",\n    },\n    # What was seen',
        LOADS,
    ),
    Mutant(
        "a phase begins before the one before it is done",
        SEGMENTS,
        "o.phase < g.phase and o.state <> 'done')",
        "o.phase < 0 and o.state <> 'done')",
        LOADS,
    ),
    Mutant(
        "exports of an older guard are kept",
        SNAPSHOTS,
        "delete from {schema}.export where snapshot_id = $1",
        "delete from {schema}.export where snapshot_id = -$1",
        LOADS,
    ),
]
