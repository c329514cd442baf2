"""Translates the errors of botocore, each once."""

from collections.abc import Mapping

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    InvalidRegionError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from replicator.errors import (
    ArgumentRefused,
    ConfigurationError,
    IteratorExpired,
    PositionTrimmed,
    ReplicatorError,
    ShardVanished,
    SourceDenied,
    SourceThrottled,
    SourceUnavailable,
    StreamVanished,
)

SdkError = BotoCoreError | ClientError | ResponseParserError | OSError
FAILURES = (BotoCoreError, ClientError, ResponseParserError, OSError)
"""Errors that a call may raise: callers catch such an error and raise `translate(error)`."""

CREDENTIALS_REMEDY = (
    "give the process a role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
RIGHTS_REMEDY = "grant the action to the identity, or set role_arn to a role that has it"
CLOCK_REMEDY = (
    "correct this machine's clock, by NTP for instance: AWS takes no signature that is off by more "
    "than five minutes; the credentials are not what is wrong"
)
REGION_REMEDY = "set source.region, or AWS_REGION"
UNAUTHENTICATED = {
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
}
DENIED = {
    "AccessDeniedException",
    "AccessDenied",
    "NotAuthorized",
    "UnauthorizedOperation",
    "KMSAccessDeniedException",
    "OptInRequired",
}
THROTTLED = {
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "LimitExceededException",
}
_BY_CODE: Mapping[str, type[ReplicatorError]] = {
    "ExpiredIteratorException": IteratorExpired,
    "TrimmedDataAccessException": PositionTrimmed,
    "InvalidArgumentException": ArgumentRefused,
}
_SHARD_OPERATIONS = {"GetShardIterator", "GetRecords"}


def translate(error: SdkError) -> ReplicatorError:
    """The ReplicatorError for a failed call, or for a client that cannot be made.

    An answer that is not known means "try again later": no error of the source's own may stop us.
    """
    if isinstance(error, ClientError):
        return _answered(error)
    match error:
        case NoRegionError() | InvalidRegionError():
            return ConfigurationError(_sentence(error), remedy=REGION_REMEDY)
        case ParamValidationError():
            return ConfigurationError(" ".join(str(error).split()))
        case ResponseParserError():
            return SourceUnavailable(
                "what answered is not AWS, nor speaks like it", remedy="check endpoint_url"
            )
        case ProfileNotFound():
            return ConfigurationError(_sentence(error), remedy="correct AWS_PROFILE")
        case (
            NoCredentialsError()
            | PartialCredentialsError()
            | CredentialRetrievalError()
            | TokenRetrievalError()
            | NoAuthTokenError()
            | SSOError()
        ):
            return SourceDenied(
                f"no AWS credentials: {_sentence(error)}", remedy=CREDENTIALS_REMEDY
            )
        case EndpointConnectionError():
            return SourceUnavailable(
                _sentence(error), remedy="check region and endpoint_url, network and firewall"
            )
        case _:
            return SourceUnavailable(f"AWS did not answer: {_sentence(error)}")


def code_of(error: SdkError) -> str:
    """The error's short name: the code AWS gave, or the class of what went wrong before."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "Unknown")
    return type(error).__name__


def _answered(error: ClientError) -> ReplicatorError:
    operation = error.operation_name
    code = code_of(error)
    text = error.response.get("Error", {}).get("Message") or ""
    message = f"{operation}: {code}" + (f": {text}" if text else "")
    match code:
        case _ if code in _BY_CODE:
            return _BY_CODE[code](message)
        case "ValidationException" if operation == "DescribeTable":
            return ConfigurationError(message, remedy="correct `table`: a name or an ARN")
        case "ResourceNotFoundException" if operation in _SHARD_OPERATIONS:
            return ShardVanished(message)
        case "ResourceNotFoundException":
            return StreamVanished(message)
        case _ if code in THROTTLED:
            return SourceThrottled(message)
        case _ if _is_of_the_clock(code, text):
            return SourceDenied(message, remedy=CLOCK_REMEDY)
        case _ if code in UNAUTHENTICATED:
            return SourceDenied(message, remedy=CREDENTIALS_REMEDY)
        case _ if code in DENIED:
            return SourceDenied(message, remedy=RIGHTS_REMEDY)
        case _:
            return SourceUnavailable(message)


def _is_of_the_clock(code: str, text: str) -> bool:
    """True when a signature was refused for its time, which AWS says in the message, not in the
    code.
    """
    told = ("signature expired", "signature not yet current", "request has expired")
    return code == "RequestTimeTooSkewed" or (
        code in UNAUTHENTICATED and any(words in text.lower() for words in told)
    )


def _sentence(error: SdkError) -> str:
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__
