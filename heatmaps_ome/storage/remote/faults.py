"""Faults of object storage and servers: those worth another try, and one sentence for the others.

Libraries raise what they like, and their texts may hold signed addresses. So a sentence is made of
the fault's kind alone.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import HeatmapsError, RemoteError
from heatmaps_ome.storage.remote.urls import public, scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses of servers that are busy, restarting or slow (RFC 9110, RFC 6585)."""
_PASSING_CODES: Final = ("RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable")
"""S3's names of such faults, some of which come with other statuses."""
_BROKEN_ANSWERS: Final = {"ClientPayloadError", "BadHttpMessage", "IncompleteRead"}
"""aiohttp's names for answers that end too early, to some of which it gives a status of its own."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_LOCAL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EMFILE)
"""Errors of this machine's own disk, which another try does not mend."""
_ASK: Final = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; FSSPEC_S3_ANON=true "
    "reads a public bucket without",
    "gs": "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
    "sftp": "add a key to your ssh agent, or set a password as FSSPEC_SFTP_PASSWORD",
}
"""Scheme → the remedy where there are no credentials."""


class ShortReadError(OSError):
    """Fewer bytes arrived than were asked for."""


class ChangedError(HeatmapsError):
    """A file was replaced while it was read; the text is its sentence."""


def is_passing(error: BaseException) -> bool:
    """Return whether a fault may be gone at another try."""
    if any(code in _PASSING_CODES for code in _codes(error)):
        return True
    kinds, status = _kinds(error), _status(error)
    if kinds & _BROKEN_ANSWERS:
        return True
    if status is not None:
        return status in _PASSING
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "AuthenticationException",
                "DefaultCredentialsError", "BadHostKeyException"}:  # fmt: skip
        return False
    if isinstance(error, FileNotFoundError):
        # fsspec has this for every fault of a web server, also where it cannot be reached.
        return error.__cause__ is not None and is_passing(error.__cause__)
    if isinstance(error, PermissionError | FileExistsError | IsADirectoryError | HeatmapsError):
        return False
    if isinstance(error, OSError) and error.errno in _LOCAL:
        return False
    return isinstance(error, OSError | TimeoutError | EOFError) or bool(
        kinds & {"ClientError", "HTTPClientError", "BotoCoreError", "SSHException", "HttpError",
                 "ClientConnectionError", "ClientPayloadError", "TransportError"}
    )  # fmt: skip


def sentence(error: BaseException, url: str, tries: int = 1) -> RemoteError:
    """Return the error for a fault: one sentence, without secrets.

    Parameters
    ----------
    url : str
        What was read or written.
    tries : int
        Number of tries.
    """
    place, scheme = public(url), scheme_of(url)
    status, codes, kinds = _status(error), _codes(error), _kinds(error)
    bucket = place.split("/")[2] if place.count("/") > 1 else place
    if isinstance(error, RemoteError):
        return error
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}:
        return RemoteError(f"{place}: there are no credentials; {_ask(scheme)}")
    if "AuthenticationException" in kinds or status == _UNAUTHORIZED:
        return RemoteError(f"{place}: the credentials are not accepted; {_ask(scheme)}")
    if "NoSuchBucket" in codes:
        return RemoteError(f"{place}: there is no bucket {bucket}; check the name and the region")
    if codes & {"ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
        return RemoteError(
            f"{place}: the credentials are not accepted, or have expired; renew them"
        )
    if isinstance(error, PermissionError) or status == _FORBIDDEN:
        return RemoteError(
            f"{place}: access is denied; ask the owner of {bucket} for the right to read there, "
            "and to write if it is an output; a signed URL may have expired"
        )
    if status == _NOT_FOUND or (isinstance(error, FileNotFoundError) and not _cause(error)):
        return RemoteError(f"{place}: there is nothing of this name; check the URL")
    if is_passing(error):
        return RemoteError(
            f"{place} could not be reached in {tries} tries ({_reason(error)}); check the network, "
            "and start again: what is done is kept"
        )
    return RemoteError(f"{place} cannot be read or written ({_reason(error)})")


def _ask(scheme: str) -> str:
    return _ASK.get({"gcs": "gs", "ssh": "sftp", "s3a": "s3"}.get(scheme, scheme),
                    "check the URL, or ask its owner")  # fmt: skip


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _cause(error: BaseException) -> BaseException | None:
    """Return the cause that a library's text hides, if it is no plain absence."""
    return next((one for one in _chain(error) if not isinstance(one, FileNotFoundError)), None)


def _kinds(error: BaseException) -> set[str]:
    """Return the names of an error's classes and its causes', whose modules are optional."""
    return {kind.__name__ for one in _chain(error) for kind in type(one).__mro__}


def _codes(error: BaseException) -> set[str]:
    """Return S3's codes of an error and its causes."""
    answers = [getattr(one, "response", None) for one in _chain(error)]
    return {str(a.get("Error", {}).get("Code")) for a in answers if isinstance(a, dict)}


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an error or its causes; None if there is none."""
    one: Any
    for one in _chain(error):
        answer: Any = getattr(one, "response", None)
        facts = answer.get("ResponseMetadata", {}) if isinstance(answer, dict) else {}
        # aiohttp's `code` is deprecated beside its `status`.
        own = one.status if hasattr(one, "status") else getattr(one, "code", None)
        for value in (facts.get("HTTPStatusCode"), own):
            if isinstance(value, int) and 300 <= value < 600:
                return value
    return None


def _reason(error: BaseException) -> str:
    """Return the kind of a fault in a word or two, without addresses."""
    status = _status(error)
    if _kinds(error) & _BROKEN_ANSWERS:
        return "the answer ended too early"
    if status is not None:
        return f"HTTP status {status}"
    if isinstance(error, ShortReadError):
        return str(error)
    *_, last = _chain(error)
    name = last.strerror if isinstance(last, OSError) and last.strerror else type(last).__name__
    return "no answer in time" if isinstance(last, TimeoutError) else name
