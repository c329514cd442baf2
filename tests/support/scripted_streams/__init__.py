"""A DynamoDB Streams that follows a script: shards divide and faults strike on command."""

from tests.support.scripted_streams.client import AsyncRemoteStreams, RemoteStreams, RemoteTable
from tests.support.scripted_streams.control import ScriptedStreams
from tests.support.scripted_streams.process import start_process
from tests.support.scripted_streams.server import scripted_streams
from tests.support.scripted_streams.tables import Table

__all__ = [
    "AsyncRemoteStreams",
    "RemoteStreams",
    "RemoteTable",
    "ScriptedStreams",
    "Table",
    "scripted_streams",
    "start_process",
]
