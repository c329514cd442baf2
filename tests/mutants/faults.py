"""Faults in the engine and in the fence: what is read, written, believed and given away."""

from tests.mutants.blame_faults import BLAME_MUTANTS
from tests.mutants.comparison_faults import COMPARISON_MUTANTS
from tests.mutants.export_faults import EXPORT_MUTANTS
from tests.mutants.guard_faults import GUARD_MUTANTS
from tests.mutants.identity_faults import IDENTITY_MUTANTS
from tests.mutants.input_faults import INPUT_MUTANTS
from tests.mutants.kinesis_faults import KINESIS_MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.ownership_faults import OWNERSHIP_MUTANTS
from tests.mutants.procedure_faults import PROCEDURE_MUTANTS
from tests.mutants.proof_faults import PROOF_MUTANTS
from tests.mutants.type_faults import TYPE_MUTANTS

SIMULATION = "tests/mutants/simulated.py"
FENCE = "tests/contract/test_fence.py"
SCHEDULES = "tests/engine/test_schedules.py"
READER = "tests/engine/test_shard_reader.py"
KEPT_PLANS = "tests/postgres/test_plan_cache_mode.py"
PLAN = "tests/core/test_plan_batch.py"
LINEAGE = "tests/core/test_shard_lineage.py"
LEASES = "tests/core/test_lease_plan.py"
PROOF = "tests/core/test_gap_proof.py"

STATEMENTS = "replicator/postgres/write/batch_statement.py"
FENCES = "replicator/postgres/write/fence.py"
TARGETS = "replicator/postgres/write/target_sql.py"
WRITER = "replicator/postgres/write/plan_writer.py"
PLANS = "replicator/postgres/connection/plan_cache_mode.py"
PLANNING = "replicator/core/planning/plan_batch.py"
USUAL = "replicator/core/planning/columnar_plan.py"
CLAIMS = "replicator/postgres/control/stream/shard_claims.py"
GAPS_AND_HALTS = "replicator/postgres/control/stream/gaps_and_halts.py"
STREAMS = "replicator/postgres/control/stream/generations.py"
SINK = "replicator/postgres/write/plan_writer.py"
SHARD = "replicator/engine/stream/shard_replicator.py"
PAGES = "replicator/engine/stream/shard_reader.py"
GAPS = "replicator/core/stream/gap_proof.py"
SHARING = "replicator/core/leases/lease_plan.py"


MUTANTS = [
    # what one transaction is
    Mutant(
        "no compare-and-set of the position",
        FENCES,
        "and last_sequence_number is not distinct from $10::text::numeric",
        "and $10::text is not distinct from $10",
        FENCE,
    ),
    Mutant("no check of the epoch", FENCES, "and epoch = $5\n", "and $5 > 0\n", FENCE),
    Mutant(
        "rows are written without the fence",
        TARGETS,
        "from ({rows}) as v, ready\n        on conflict ({key})",
        "from ({rows}) as v\n        on conflict ({key})",
        FENCE,
    ),
    Mutant(
        "rows are deleted without the fence",
        TARGETS,
        "using unnest({arrays}) as v({columns}), ready",
        "using unnest({arrays}) as v({columns})",
        FENCE,
    ),
    Mutant(
        "dead letters are written without the fence",
        STATEMENTS,
        "new_image, old_image, state, of_history, expired, place), ready",
        "new_image, old_image, state, of_history, expired, place)",
        FENCE,
    ),
    Mutant(
        "the position moves in a transaction of its own",
        WRITER,
        "            row = await self._written(connection, text, *values)\n",
        "            await connection.execute(\n"
        "                'update replicator.shard set last_sequence_number = $1::text::numeric'\n"
        "                ' where shard_id = $2 and epoch = $3', values[5], values[3], values[4])\n"
        "            values[9] = values[5]\n"
        "            row = await self._written(connection, text, *values)\n",
        FENCE,
    ),
    Mutant(
        "sequence numbers are compared as texts",
        FENCES,
        "greatest(known_sequence_number, $7::text::numeric)",
        "greatest(known_sequence_number::text, $7::text)::numeric",
        FENCE,
    ),
    Mutant(
        "dead letters are never superseded",
        SINK,
        "self._writer.write(plan, values, supersede=claim.open_letters)",
        "self._writer.write(plan, values, supersede=False)",
        FENCE,
    ),
    Mutant(
        "the first change of a key wins",
        "replicator/core/planning/batch_in_planning.py",
        "zip(self.keys.values(), self.keys, strict=True)",
        "[(key, index) for index, key in reversed(self.keys.items())]",
        PLAN,
    ),
    Mutant(
        "the first change of a key wins where changes are looked at one by one",
        PLANNING,
        "for index in reversed(state.keys) if left else ():",
        "for index in state.keys if left else ():",
        PLAN,
    ),
    Mutant(
        "an item that leaves a filter keeps its row",
        USUAL,
        "settled |= _delete(writes, state, strangers, changes, Rank.FILTERED, plainly=plainly)",
        "settled |= set()",
        "tests/core/test_columnar_plan.py",
    ),
    Mutant(
        "an item that is looked at change by change and leaves a filter keeps its row",
        PLANNING,
        "elif not self._scanned:",
        "elif False:",
        "tests/core/test_columnar_plan.py",
    ),
    Mutant(
        "a value that is not as usual spoils no row",
        "replicator/core/values/columnar_cells.py",
        "cells.append(convert(value))\n        except UNUSUAL:\n            odd.add(place)",
        "cells.append(convert(value))\n        except UNUSUAL:\n            pass",
        "tests/core/test_columnar_rows.py",
    ),
    Mutant(
        "a scalar of an attribute that is left out of an image goes to another one",
        "replicator/core/values/json_text.py",
        "first += 2 * scalars",
        "first += 2 * (scalars - len(places))",
        "tests/core/test_columnar_rows.py",
    ),
    Mutant(
        "a member with a key's name is left out of nested values",
        "replicator/core/values/json_text.py",
        "count = plain.count(_SCALAR, start, end)",
        "count = plain.count(_SCALAR, start)",
        "tests/core/test_columnar_rows.py",
    ),
    Mutant(
        "a string that ends with a backslash is left to be decoded",
        "replicator/core/values/json_text.py",
        "if _UNICODE_ESCAPE in whole or _ESCAPED_BACKSLASH in whole:",
        "if _UNICODE_ESCAPE in whole:",
        "tests/core/test_columnar_rows.py",
    ),
    Mutant(
        "a character that jsonb cannot hold is not looked for",
        "replicator/core/values/json_text.py",
        "if _UNICODE_ESCAPE in whole or _ESCAPED_BACKSLASH in whole:",
        "if _ESCAPED_BACKSLASH in whole:",
        "tests/core/test_columnar_rows.py",
    ),
    Mutant(
        "a quote that is escaped ends a string",
        "replicator/core/values/json_text.py",
        "if _BACKSLASH not in whole:",
        "if _UNICODE_ESCAPE not in whole:",
        "tests/core/test_columnar_rows.py",
    ),
    Mutant(
        "the entries of a history are added at places by chance",
        "replicator/postgres/schema/ddl_diff.py",
        '"(sequence_number, md5(stream_arn || keys::text))"',
        '"(md5(stream_arn || keys::text), sequence_number)"',
        "tests/postgres/test_ddl_diff.py"
        "::test_the_index_of_a_history_that_grows_is_as_small_as_a_new_one",
    ),
    Mutant(
        "a change of another stream is taken for one that the history has",
        "replicator/postgres/schema/ddl_diff.py",
        '"(sequence_number, md5(stream_arn || keys::text))"',
        '"(sequence_number, md5(keys::text))"',
        "tests/postgres/test_ddl_diff.py",
    ),
    Mutant(
        "a key that is not as the others has every entry of its batch made by itself",
        "replicator/core/planning/history_rows.py",
        "return objects_alike(images) or list(map(_key_text, images))",
        "return objects_alike(images) or [None] * len(images)",
        "tests/core/test_history_rows.py",
    ),
    Mutant(
        "an entry of a history is made of another change's image",
        "replicator/core/planning/history_rows.py",
        "texts[1::2],",
        "texts[::2],",
        "tests/core/test_history_rows.py",
    ),
    Mutant(
        "an image that must be decoded is NULL in the history",
        "replicator/core/planning/history_rows.py",
        "unusual.add(place // 2)",
        "pass",
        "tests/core/test_history_rows.py",
    ),
    Mutant(
        "a surrogate that is not escaped ends the batch",
        "replicator/core/values/json_text.py",
        "except UnicodeError:",
        "except UnicodeDecodeError:",
        "tests/core/test_columnar_rows.py"
        "::test_a_surrogate_that_is_no_text_leaves_the_values_beside_it_usual",
    ),
    Mutant(
        "what is around scalars is remembered for ever",
        "replicator/core/values/json_text.py",
        "if self._held_bytes > HELD_BYTES_MAX:",
        "if self._held_bytes < 0:",
        "tests/core/test_columnar_rows.py"
        "::test_what_is_around_the_scalars_of_images_is_not_remembered_for_ever",
    ),
    Mutant(
        "a value that is not of its automatic column's type is in no rest",
        "replicator/core/values/columnar_rows.py",
        "names = [*names, *found]",
        "names = [*names]",
        "tests/core/test_columnar_plan.py",
    ),
    Mutant(
        "a value that is not of its automatic column's type is lost where a child reads it too",
        "replicator/core/values/columnar_rows.py",
        "if value is not UNSET and remainder.strays({name: value})",
        "if value is UNSET and remainder.strays({name: value})",
        "tests/core/test_columnar_plan.py"
        "::test_a_value_of_another_type_that_a_child_reads_too_stays_in_the_rest",
    ),
    Mutant(
        "half of a batch that is halved is dropped",
        "replicator/engine/retry_and_halve.py",
        "(records[:middle], records[middle:])",
        "(records[middle:],)",
        SIMULATION,
    ),
    Mutant(
        "rows that do not change are written again",
        "replicator/postgres/write/target_sql.py",
        "pg_catalog.record_image_ne(row({held}), row({given}))",
        "true",
        "tests/postgres/test_unchanged_rows.py",
    ),
    Mutant(
        "a value that is equal and reads differently is left as it is",
        "replicator/postgres/write/target_sql.py",
        "pg_catalog.record_image_ne(row({held}), row({given}))",
        "({held}) is distinct from ({given})",
        "tests/postgres/test_unchanged_rows.py",
    ),
    # who may write
    Mutant(
        "a lease is believed to be a fence",
        CLAIMS,
        "set epoch = s.epoch + 1,",
        "set epoch = s.epoch,",
        FENCE,
    ),
    Mutant(
        "a child is claimed before its parent is read",
        CLAIMS,
        "   and p.read\n",
        "",
        FENCE,
    ),
    Mutant(
        "a child is planned before its parent is read",
        "replicator/core/stream/shard_lineage.py",
        "if parent is not None and not parent.finished:",
        "if False:",
        LINEAGE,
    ),
    Mutant(
        "a parent that only a child names is forgotten",
        "replicator/core/stream/shard_lineage.py",
        "shard.shard_id not in known or not known[shard.shard_id].listed",
        "shard.shard_id not in known",
        LINEAGE,
    ),
    Mutant(
        "a look does not compare the position",
        CLAIMS,
        "and last_sequence_number is not distinct from $8::text::numeric",
        "and $8::text is not distinct from $8",
        FENCE,
    ),
    Mutant(
        "a shard ends wherever it stands",
        CLAIMS,
        "and last_sequence_number is not distinct from $6::text::numeric",
        "and $6::text is not distinct from $6",
        FENCE,
    ),
    Mutant(
        "a halt stops nobody who writes",
        GAPS_AND_HALTS,
        "            await raise_epochs(connection, self._control, self._deployment, source)\n"
        '        return "already"',
        '        return "already"',
        FENCE,
    ),
    Mutant(
        "an older stream is left open",
        STREAMS,
        "and stream_arn <> $3 and state in ('waiting', 'active')",
        "and stream_arn <> $3 and false",
        FENCE,
    ),
    Mutant(
        "streams are ordered by who comes last",
        STREAMS,
        "order by label_at desc, stream_arn desc limit 1",
        "order by found_at desc, label_at limit 1",
        FENCE,
    ),
    Mutant(
        "a stream is left that a failover has made unread",
        STREAMS,
        "    if after.read is None:\n        return\n",
        "    if True:\n        return\n",
        FENCE,
    ),
    Mutant(
        "a stream is left for what was seen of an older one",
        STREAMS,
        "    if current != after.stream_arn:\n",
        "    if False:\n",
        FENCE,
    ),
    Mutant(
        "whoever slept closes a shard",
        GAPS_AND_HALTS,
        "and (epoch, claim_id) = ($4, $5)\n   and state = 'active'\n"
        "   and gap_accepted_at is not null",
        "and $4 > 0 and $5::uuid is not null\n   and gap_accepted_at is not null",
        FENCE,
    ),
    Mutant(
        "a parent that a failover has lost is named without its own",
        "replicator/postgres/control/stream/table_and_shard_store.py",
        "fetchval(self._control.sql(ON_RECORD), *known) < len(beside)",
        "fetchval(self._control.sql(ON_RECORD), *known) < 0",
        FENCE,
    ),
    Mutant(
        "a shard that was listed meanwhile was never owed",
        GAPS_AND_HALTS,
        "   and not listed\n",
        "",
        FENCE,
    ),
    Mutant(
        "an acceptance covers every later gap",
        GAPS_AND_HALTS,
        "set state = 'gap', gap_accepted_at = null, epoch",
        "set state = 'gap', epoch",
        FENCE,
    ),
    # where reading goes on
    Mutant(
        "the checkpoint is the position",
        SHARD,
        "after=claim.position,",
        "after=self._task.checkpointed or claim.position,",
        SCHEDULES,
    ),
    Mutant(
        "the checkpoint moves before the commit",
        SHARD,
        "claim = await self._pipeline.process(replace(batch, known=known), claim, stopping)\n",
        "self._moved(batch.records[-1].position)\n"
        "            claim = await self._pipeline.process(replace(batch, known=known), claim,"
        " stopping)\n",
        SCHEDULES,
    ),
    Mutant(
        "the end of a shard comes before its last records",
        SHARD,
        "        if answer.records:\n            claim =",
        "        if answer.ended:\n            return await self._end(claim)\n"
        "        if answer.records:\n            claim =",
        SIMULATION,
    ),
    Mutant(
        "without a position it reads from the newest record",
        "replicator/sources/dynamodb/streams.py",
        'arguments["ShardIteratorType"] = "TRIM_HORIZON"',
        'arguments["ShardIteratorType"] = "LATEST"',
        SIMULATION,
    ),
    Mutant(
        "after an expired iterator it reads from the first position",
        PAGES,
        "self._position = fresh[-1].position\n",
        "pass\n",
        READER,
    ),
    Mutant(
        "repeated records are applied again",
        PAGES,
        "fresh = [record for record in fresh if record.position > position]",
        "fresh = list(fresh)",
        READER,
    ),
    Mutant(
        "one empty page is the head",
        PAGES,
        "EMPTY_PAGES_TO_HEAD = 5",
        "EMPTY_PAGES_TO_HEAD = 1",
        READER,
    ),
    Mutant(
        "the head is as of the last of five empty pages",
        PAGES,
        "return self._empties[0] if",
        "return self._empties[-1] if",
        READER,
    ),
    Mutant(
        "a shard at rest is read five times a second behind a single change",
        PAGES,
        "min(PAUSE_BEHIND_RECORDS_MAX, self._pause_seconds / 2)",
        "0.0",
        READER,
    ),
    Mutant(
        "a shard that changes again and again keeps the pause of its rest",
        PAGES,
        "self._pause_seconds / 2)",
        "1.0)",
        READER,
    ),
    Mutant(
        "a plan of deletions is kept",
        TARGETS,
        "return not (self.deletes or ",
        "return not (",
        KEPT_PLANS,
    ),
    Mutant(
        "a plan of soft deletions is kept",
        TARGETS,
        "self.deletes or self.soft_deletes or self.children or self.orphans)",
        "self.deletes or self.children or self.orphans)",
        KEPT_PLANS,
    ),
    Mutant(
        "a plan of rows of child tables is kept",
        TARGETS,
        "self.deletes or self.soft_deletes or self.children or self.orphans)",
        "self.deletes or self.soft_deletes)",
        KEPT_PLANS,
    ),
    Mutant(
        "a plan of dead letters is kept",
        STATEMENTS,
        "alone = not (self.dead_letters or self.supersede or self.guard)",
        "alone = True",
        KEPT_PLANS,
    ),
    Mutant(
        "a session that keeps plans keeps those of everything",
        PLANS,
        "mode.steady_uses + 1 if steady else 0",
        "mode.steady_uses + 1",
        KEPT_PLANS,
    ),
    Mutant(
        "a session that keeps plans is believed to be set back",
        PLANS,
        "if keeps != mode.keeps:",
        "if keeps and not mode.keeps:",
        KEPT_PLANS,
    ),
    # what may be lost
    Mutant(
        "nothing is proved before it is applied",
        SHARD,
        "if claim.owed and not self._is_complete(claim, answer.answered_at):",
        "if False:",
        SCHEDULES,
    ),
    Mutant(
        "the proof is judged by the time of the request",
        SHARD,
        "self._is_complete(claim, answer.answered_at)",
        "self._is_complete(claim, answer.requested_at)",
        SCHEDULES,
    ),
    Mutant(
        "a shard that vanished is done",
        SHARD,
        "if claim.gap_accepted_at is not None and self._is_complete(claim, self._clock.now()):",
        "if True:",
        SIMULATION,
    ),
    Mutant(
        "what was accepted once is accepted for ever",
        SHARD,
        "if claim.gap_accepted_at is not None and self._is_complete(claim, self._clock.now()):",
        "if claim.gap_accepted_at is not None:",
        SCHEDULES,
    ),
    Mutant(
        "tables that stand delay each page of the others",
        "replicator/engine/stream/page_budget.py",
        "self._beyond.add(waiter.room)",
        "self._beyond.discard(waiter.room)",
        "tests/engine/test_page_budget.py",
    ),
    Mutant(
        "a table that waits its turn takes a page beyond a budget that moves",
        "replicator/engine/stream/page_budget.py",
        "            self.returned += 1\n",
        "",
        "tests/engine/test_page_budget.py",
    ),
    Mutant(
        "a shard without a page lets the tables behind those that stand wait on",
        "replicator/engine/stream/page_budget.py",
        "if slots == 0:",
        "if slots < 0:",
        "tests/engine/test_page_budget.py",
    ),
    Mutant(
        "a page that is put back stays in memory while it waits",
        SHARD,
        "            del answer  # it waits at the source, not here\n",
        "",
        "tests/engine/test_pages_let_go.py",
    ),
    Mutant(
        "a committed page stays in memory until the next one comes",
        SHARD,
        "            del page  # while the next one is waited for, this one's memory is free\n",
        "",
        "tests/engine/test_pages_let_go.py",
    ),
    Mutant(
        "a parent that nobody lists is never owed, though some of it was read",
        "replicator/engine/stream/plan_and_apply_batch.py",
        "            owed=True,\n",
        "",
        SCHEDULES,
    ),
    Mutant(
        "retention is believed to be two days",
        "replicator/core/stream/source_kind.py",
        '"DynamoDB Streams", retention=timedelta(hours=24)',
        '"DynamoDB Streams", retention=timedelta(hours=48)',
        SCHEDULES,
    ),
    Mutant(
        "nothing is left for clocks that differ",
        GAPS,
        "answered_at - base < retention - MARGIN",
        "answered_at - base < retention",
        PROOF,
    ),
    Mutant(
        "all that a shard holds when it is found is owed for a day more",
        GAPS,
        "base = found_at - retention + NOT_OWED",
        "base = found_at",
        PROOF,
    ),
    Mutant(
        "a child is believed to be safe from its own first look on",
        CLAIMS,
        "safe_at = coalesce(s.safe_at, p.safe_at)",
        "safe_at = coalesce(s.safe_at, now())",
        FENCE,
    ),
    Mutant(
        "a child is owed from when it was found, not from when its parent was",
        CLAIMS,
        "least(s.found_at, p.found_at) as found_at",
        "s.found_at",
        FENCE,
    ),
    Mutant(
        "a finished shard is forgotten though it is listed",
        "replicator/core/stream/shard_lineage.py",
        "        and name not in listed\n",
        "",
        LINEAGE,
    ),
    # who works
    Mutant(
        "a lease that was just seen is expired",
        SHARING,
        "now - sighting.at > lease_seconds",
        "now - sighting.at >= 0",
        LEASES,
    ),
    Mutant(
        "shards of a dead worker wait for its share",
        SHARING,
        "if worker not in (worker_id, *dead)",
        "if worker != worker_id",
        LEASES,
    ),
    Mutant(
        "shards of a dead worker wait for one that has just begun",
        SHARING,
        "or stands_still(lease, lease_seconds + plan_seconds)",
        "or stands_still(lease, 3 * lease_seconds)",
        LEASES,
    ),
    *OWNERSHIP_MUTANTS,
    *EXPORT_MUTANTS,
    *GUARD_MUTANTS,
    *INPUT_MUTANTS,
    *TYPE_MUTANTS,
    *PROCEDURE_MUTANTS,
    *IDENTITY_MUTANTS,
    *KINESIS_MUTANTS,
    *BLAME_MUTANTS,
    *COMPARISON_MUTANTS,
    *PROOF_MUTANTS,
]
