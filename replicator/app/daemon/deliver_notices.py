"""Tells receivers of gaps, stopped tables and many dead letters, without holding up any work.

Every worker compares the status with the notices in the control schema: a problem without a notice
is opened, one that ended is resolved. The worker that takes a notice delivers the notice; no other
worker does within the time after which delivery is tried again. A worker that dies in between
leaves delivery to the next one, so that a notice arrives at least once; the `id` tells a
repetition.
"""

import asyncio
import json
from collections.abc import Callable

from replicator.app.daemon.webhook_notices import post
from replicator.aws.sns_notices import publish
from replicator.clock import Clock
from replicator.config.settings import NotificationSettings
from replicator.core.status.deployment_status import Status
from replicator.core.status.notices import Due, body, notices
from replicator.engine.backoff import stopped_within
from replicator.errors import NoticeUndelivered
from replicator.postgres.connection.database import Database
from replicator.postgres.control.notice_deliveries import Notices

LOOK_SECONDS = 5.0
STATUS_SECONDS_MAX = 20.0
"""An older status says nothing of now: a problem may have ended, or begun, since."""


class Notifications:
    """The job of one worker."""

    def __init__(
        self,
        settings: NotificationSettings,
        database: Database,
        status: Callable[[], Status | None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._deployment = database.deployment
        self._notices = Notices(database)
        self._status = status
        self._clock = clock
        self._failing = False
        """True when the last delivery that was tried has failed."""

    async def tell(self, stopping: asyncio.Event) -> bool | None:
        """Look once and deliver what is due; True when asked to stop, None while nothing was
        delivered since a delivery failed.

        NoticeUndelivered for the last one that a receiver did not take, after all were tried.
        """
        status = self._status()
        if status is not None and status.read_seconds_ago <= STATUS_SECONDS_MAX:
            limit = self._settings.dead_letters_max
            current = notices(status, dead_letters_max=limit)
            await self._notices.record(current, seconds_old=status.read_seconds_ago)
        failure = None
        taken = await self._notices.take()
        for due in taken:
            try:
                await self._deliver(due)
            except NoticeUndelivered as error:
                failure = error
            else:
                await self._notices.delivered(due)
        if taken:
            self._failing = failure is not None
        if failure is not None:
            raise failure
        stopped = await stopped_within(stopping, LOOK_SECONDS)
        return None if self._failing else stopped

    async def _deliver(self, due: Due) -> None:
        settings = self._settings
        document = json.dumps(body(self._deployment, due))
        url = settings.webhook()
        if url is not None:
            timestamp = str(int(self._clock.now().timestamp()))
            secret = settings.secret()
            await post(url, document.encode(), secret=secret, timestamp=timestamp)
        if settings.sns_topic is not None:
            subject = f"{self._deployment}: {due.notice.table}: {due.notice.kind} {due.event}"
            await publish(
                settings.sns_topic, subject, document, endpoint_url=settings.sns_endpoint_url
            )
