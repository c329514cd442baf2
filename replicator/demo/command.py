"""The story of the demonstration: start, write, watch, wait, compare, tell, clear away."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import asyncpg
from rich.console import Console

from replicator.clock import SystemClock
from replicator.demo.comparison import Comparison, Item, Row, compare, read_items, read_rows
from replicator.demo.embedded import embedded_dynamodb, embedded_postgres
from replicator.demo.orders import KEY, Delete, Put, Update, table_definition
from replicator.demo.replica import ANSWER_SECONDS, Place, Replica, start_daemon, usual_port
from replicator.demo.report import print_order, print_verdict, richest
from replicator.demo.view import Reading, View, view_for
from replicator.demo.writer import Writer
from replicator.engine.waiting import one_failure
from replicator.errors import ReplicatorError, SinkUnavailable
from replicator.sources.clients import SourceConnection, open_client
from replicator.sources.failures import FAILURES, translate
