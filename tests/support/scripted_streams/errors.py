"""The refusals of DynamoDB and its streams, by the names and statuses AWS gives them."""

from dataclasses import dataclass

_PREFIXES = {
    "ValidationException": "com.amazon.coral.validate#",
    "ThrottlingException": "com.amazon.coral.availability#",
    "AccessDeniedException": "com.amazon.coral.service#",
    "ExpiredTokenException": "com.amazon.coral.service#",
    "UnrecognizedClientException": "com.amazon.coral.service#",
    "UnknownOperationException": "com.amazon.coral.service#",
    "InternalFailure": "com.amazon.coral.service#",
}
UNAVAILABLE = "ServiceUnavailable"

_STATUSES = {
    "InternalServerError": 500,
    "InternalFailure": 500,
    UNAVAILABLE: 503,
}


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """An error answer; `error` is the name botocore shows in `Error.Code`."""

    error: str
    message: str = ""

    @property
    def status(self) -> int:
        return _STATUSES.get(self.error, 400)

    @property
    def wire_type(self) -> str:
        return _PREFIXES.get(self.error, "com.amazonaws.dynamodb.v20120810#") + self.error


def invalid(message: str) -> Refusal:
    return Refusal("ValidationException", message)


def not_found(what: str) -> Refusal:
    return Refusal("ResourceNotFoundException", f"Requested resource not found: {what}")
