"""Faults in what is read from Kinesis: ties, parents, binary, retention, who keeps the order."""

from tests.mutants.mutant import Mutant

TIES = "tests/core/test_order_by_time.py"
RECORDS = "tests/core/test_kinesis_records.py"
SQL = "tests/postgres/test_version_comparison_sql.py"
MOVES = "tests/postgres/test_source_switch.py"
LINEAGE = "tests/core/test_shard_lineage.py"
SCHEDULES = "tests/engine/test_kinesis_schedules.py"

ORDER = "replicator/core/stream/order_by_time.py"
TRAILS = "replicator/core/stream/order_by_images.py"
ORDERS = "replicator/postgres/write/version_comparison_sql.py"
DECODING = "replicator/core/stream/decoding/kinesis_records.py"
KINDS = "replicator/core/stream/source_kind.py"
MOVING = "replicator/postgres/control/source_switch.py"

KINESIS_MUTANTS = [
    Mutant(
        "of two changes of one time the earlier is taken for the later",
        ORDER,
        "follows, precedes = old == other_new, new == other_old",
        "precedes, follows = old == other_new, new == other_old",
        TIES,
    ),
    Mutant(
        "the state before a circle of changes does not tell where it begins",
        TRAILS,
        "if before is not None and before in states:",
        "if before is not None and before not in states:",
        TIES,
    ),
    Mutant(
        "changes of one time that may have happened in two ways are not counted",
        TRAILS,
        "if returns and (repeated or (circle and before != begin)):",
        "if returns and repeated and (circle and before != begin):",
        TIES,
    ),
    Mutant(
        "steps that leave two states are taken for a trail",
        TRAILS,
        "if len(begins) <= 1 else []",
        "if begins or circle else []",
        TIES,
    ),
    Mutant(
        "of two changes of one time the row keeps whichever came first",
        ORDERS,
        'return f"({_old(other)} = {_new(one)})"',
        'return "false"',
        SQL,
    ),
    Mutant(
        "a removal and an insertion of one time change places",
        ORDERS,
        "{_rank(one[1])} <= {_rank(other[1])}",
        "{_rank(one[1])} >= {_rank(other[1])}",
        SQL,
    ),
    Mutant(
        "binary of AWS keeps a layer of base64",
        DECODING,
        '_decode_twice if base64 == "twice"',
        '_decode_twice if base64 == "never"',
        RECORDS,
    ),
    Mutant(
        "binary of AWS keeps a layer of base64 in a record that is decoded alone",
        DECODING,
        'if base64 == "twice":\n        if any',
        'if base64 == "never":\n        if any',
        RECORDS,
    ),
    Mutant(
        "a binary key keeps a layer of base64",
        DECODING,
        'or (base64 == "twice" and any(',
        'or (base64 == "never" and any(',
        RECORDS,
    ),
    Mutant(
        "a record of the page is taken for ours whichever table it is of",
        DECODING,
        "        wire.tableName != table\n        or",
        "        wire.tableName is None\n        or",
        RECORDS,
    ),
    Mutant(
        "two changes of one time that are no neighbours are not counted",
        ORDERS,
        "and {_follows(one[1], other[1])} = {_follows(other[1], one[1])})",
        "and {_follows(one[1], other[1])} and {_follows(other[1], one[1])})",
        SQL,
    ),
    Mutant(
        "a row that was written over one of its time does not say that nothing proved the order",
        "replicator/postgres/write/row_guard_sql.py",
        "(select count(*) from versions where undecided)",
        "0",
        "tests/postgres/test_time_guard.py",
    ),
    Mutant(
        "a change that nothing proves to be older is turned away without being counted",
        "replicator/postgres/write/row_guard_sql.py",
        "(select count(*) from turned_away where undecided)",
        "0",
        "tests/postgres/test_time_guard.py",
    ),
    Mutant(
        "a Kinesis stream that was created again is taken for the one before",
        KINDS,
        "return same and stream_arn != before",
        "return same and stream_arn == before",
        MOVES,
    ),
    Mutant(
        "a Kinesis stream that was created again is taken for the one whose creation is noted",
        KINDS,
        "return created_at <= self.created_at + CREATION_MARGIN",
        "return created_at >= self.created_at - CREATION_MARGIN",
        MOVES,
    ),
    Mutant(
        "a stream that was created again is noted as the one before",
        "replicator/postgres/control/stream/generations.py",
        " and stream_arn = $3 and created_at is null",
        " and stream_arn = $3",
        MOVES,
    ),
    Mutant(
        "a heal begins where a stream was read that was created after the loss",
        "replicator/postgres/control/stream/gaps_and_halts.py",
        "coalesce(max(safe_at) <= $8::timestamptz, true)",
        "coalesce(max(safe_at) <= 'infinity', $8::timestamptz is null, true)",
        MOVES,
    ),
    Mutant(
        "a position that AWS says is of another stream is asked for again and again",
        "replicator/sources/kinesis/streams.py",
        "            raise ShardVanished(str(error)) from error",
        "            raise",
        "tests/contract/test_kinesis_answers.py",
    ),
    Mutant(
        "a record of another table is taken for ours",
        DECODING,
        "if table_in(data, sequence_number) != table:",
        "if table_in(data, sequence_number) is None:",
        RECORDS,
    ),
    Mutant(
        "a damaged record of DynamoDB's is taken for another producer's",
        DECODING,
        "if not any(mark in data for mark in _MARKS):",
        "if data:",
        "tests/core/test_hostile_inputs.py",
    ),
    Mutant(
        "a table that fails keeps the others of its stream from their changes",
        "replicator/app/aws_lambda/execution_environment.py",
        "                if self._seconds_left() <= 0:\n",
        "                if failure:\n",
        "tests/lambda_mode/test_kinesis_events.py",
    ),
    Mutant(
        "milliseconds are taken for microseconds",
        DECODING,
        '"MILLISECOND": 1000',
        '"MILLISECOND": 1',
        RECORDS,
    ),
    Mutant(
        "a Kinesis stream is believed to keep its records for two days",
        KINDS,
        '"Kinesis Data Streams", retention=timedelta(hours=24)',
        '"Kinesis Data Streams", retention=timedelta(hours=48)',
        MOVES,
    ),
    Mutant(
        "a table that was created again goes on with the rows of the one before",
        "replicator/postgres/control/stream/gaps_and_halts.py",
        "($1, $2, $3) and label_at < $4",
        "($1, $2, $3) and label_at > $4",
        MOVES,
    ),
    Mutant(
        "a claim goes on with a retention that is over",
        "replicator/postgres/control/stream/stream_retention.py",
        "if await connection.fetchval(control.sql(KEEP), *told) is not None:",
        "if await connection.fetchval(control.sql(KEEP), *told) is None:",
        MOVES,
    ),
    Mutant(
        "the fence alone guards what comes in any order",
        KINDS,
        'return OrderingMode.FENCE if self.order == "number" else OrderingMode.GUARD',
        "return OrderingMode.FENCE",
        MOVES,
    ),
    Mutant(
        "a shard of a merge is read behind one of its parents",
        "replicator/postgres/control/stream/shard_claims.py",
        "p.shard_id in (c.parent_id, c.adjacent_parent_id)",
        "p.shard_id = c.parent_id",
        "tests/contract/test_fence.py",
    ),
    Mutant(
        "a shard of a merge begins as soon as one of its parents is read",
        "replicator/core/stream/table_and_shard_facts.py",
        "return (adjacent,) if parent is None else (parent, adjacent)",
        "return (adjacent,) if parent is None else (parent,)",
        LINEAGE,  # PostgreSQL refuses the claim, too, so that no schedule shows it
    ),
    Mutant(
        "what a Kinesis stream has dropped is passed over for another day",
        KINDS,
        '"Kinesis Data Streams", retention=timedelta(hours=24)',
        '"Kinesis Data Streams", retention=timedelta(hours=49)',
        SCHEDULES,
    ),
    Mutant(
        "each look at a destination that is off finds another gap",
        "replicator/postgres/control/stream/gaps_and_halts.py",
        "detail, created_at is None\n",
        "detail, False\n",
        MOVES,
    ),
    Mutant(
        "a shard's bytes are paid for by nobody",
        "replicator/sources/kinesis/streams.py",
        "max(0.0, data_bytes / BYTES_PER_SECOND - READ_SECONDS)",
        "0.0",
        "tests/engine/test_shard_pace.py",
    ),
    Mutant(
        "a table moves to another kind of source without a load",
        MOVING,
        'if table["whole"]:',
        'if not table["whole"]:',
        MOVES,
    ),
]
