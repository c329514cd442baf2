"""One call of AWS: translated when the call fails, read, and only then counted as a success."""

import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from replicator.aws.error_translation import FAILURES, code_of, translate
from replicator.core.telemetry_events import Observe, SourceAnswered, unobserved
from replicator.errors import SourceUnavailable

T = TypeVar("T")
_MISREAD = (msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError)
"""Errors of reading an answer that is not of the shape that AWS documents."""
_SHAPELESS = "is not complete JSON of the shape that AWS documents"
WRONG_CHECKSUM = "WrongChecksum"
MISREAD = "InvalidAnswer"
"""Outcomes of calls whose answer came and is no answer, beside the codes that AWS gives."""


class Calls:
    """Makes calls for one source. Calls are not repeated: retries are the caller's.

    `heard` is told the source's time with every answer that has one.
    """

    def __init__(self, observe: Observe, *, heard: Callable[[datetime], None] = unobserved) -> None:
        self._observe = observe
        self._heard = heard

    async def make(
        self,
        operation: str,
        method: Callable[..., Any],
        read: Callable[[Any], T],
        **arguments: object,
    ) -> T:
        """Make the call and read the answer, or raise the ReplicatorError that the failure means.

        A call counts as `ok` only after the answer was read: one that did not arrive whole, or is
        of another shape, is a failure of the source like any other (SourceUnavailable).
        """
        try:
            answer = await method(**arguments)
        except FAILURES as error:
            self._observe(SourceAnswered(operation, code_of(error)))
            raise translate(error) from error
        except _MISREAD as error:  # of the SDK's own reader, which expects an object
            raise self._failed(operation, MISREAD, _SHAPELESS) from error
        try:
            if answer.get("ChecksumFits") is False:
                raise self._failed(operation, WRONG_CHECKSUM, "does not match its checksum")
            found = read(answer)
        except _MISREAD as error:
            raise self._failed(operation, MISREAD, _SHAPELESS) from error
        self._observe(SourceAnswered(operation, "ok"))
        if (date := date_of(answer)) is not None:
            self._heard(date)
        return found

    def _failed(self, operation: str, outcome: str, what: str) -> SourceUnavailable:
        self._observe(SourceAnswered(operation, outcome))
        return SourceUnavailable(
            f"{operation}: the answer {what}",
            remedy="check what stands between, such as a proxy, and endpoint_url",
        )


def date_of(answer: Mapping[str, Any]) -> datetime | None:
    """Time at which an answer was sent, from the `Date` header; None where the header names no
    time.

    The header may be a proxy's text: every form that names an instant is taken, and any other
    counts as absent.
    """
    text = (answer.get("ResponseMetadata") or {}).get("HTTPHeaders", {}).get("date")
    return _date_in(text) if isinstance(text, str) else None


@lru_cache(maxsize=16)
def _date_in(text: str) -> datetime | None:
    """The instant that a text names; hundreds of answers in a second have the same one."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(text.strip())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        # `-0000`, and no zone at all, say UTC without saying where
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date
    return None


def keep_raw_body(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Keep an answer's body as bytes: botocore's parser costs 200 µs a record, this project's
    three.

    For a client's `before-parse` event. Signing, retries and error parsing stay botocore's.
    Botocore never checks the checksum of such answers, so the check is made here.
    """
    if response_dict["status_code"] != 200:
        return
    body = response_dict["body"]
    checksum = response_dict["headers"].get("x-amz-crc32")
    customized_response_dict["RawBody"] = body
    customized_response_dict["ChecksumFits"] = (
        None if checksum is None else str(zlib.crc32(body)) == checksum.strip()
    )
    response_dict["body"] = b"{}"


def raw(decode: Callable[[bytes], T]) -> Callable[[Mapping[str, Any]], T]:
    """Reads an answer with a body that `keep_raw_body` has kept."""

    def read(answer: Mapping[str, Any]) -> T:
        return decode(answer["RawBody"])

    return read
