"""Delivers notices to a topic of Amazon SNS."""

from replicator.aws.client_factory import open_client
from replicator.aws.error_translation import FAILURES, translate
from replicator.aws.source_connection import SourceConnection
from replicator.errors import NoticeUndelivered, ReplicatorError

SUBJECT_LENGTH_MAX = 100  # of SNS


async def publish(topic: str, subject: str, message: str, *, endpoint_url: str | None) -> None:
    """Publish one notice; NoticeUndelivered when SNS does not take the notice."""
    place = SourceConnection(region=topic.split(":")[3], topic_endpoint_url=endpoint_url)
    try:
        async with open_client("sns", place) as client:
            try:
                await client.publish(TopicArn=topic, Subject=_subject(subject), Message=message)
            except FAILURES as error:
                raise translate(error) from error
    except ReplicatorError as error:
        raise NoticeUndelivered(
            f"a notice was not delivered: SNS, topic {topic}: {error}",
            remedy=error.remedy or "allow sns:Publish on the topic; it is sent again",
        ) from error


def _subject(text: str) -> str:
    """One line of printable ASCII, as SNS demands."""
    plain = "".join(sign if " " <= sign <= "~" else "?" for sign in text)
    return plain[:SUBJECT_LENGTH_MAX]
