"""What a client's error means: try again, fix the settings, or there is no such object."""

from __future__ import annotations

from collections.abc import Sequence

from geo_assets.errors import ConfigError, GeoAssetsError, TransientError
from geo_assets.store.redact import code_of, status_of, summary

NO_CREDENTIALS = "No AWS credentials are configured"

_PASSING_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_BAD_REQUEST = 400
_PASSING_CODES = frozenset({
    "RequestTimeout", "SlowDown", "InternalError", "OperationAborted", "BadDigest",
    "XAmzContentSHA256Mismatch",
})  # fmt: skip
_REFUSED_CODES = frozenset(
    {
        "AccessDenied",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "AuthorizationHeaderMalformed",
        "RequestTimeTooSkewed",
    }
)
_REFUSED = frozenset({"UnauthenticatedError", "PermissionDeniedError"})
_FINAL = frozenset({"NotSupportedError", "InvalidPathError", "UnknownConfigurationKeyError"})


def translated(
    error: Exception, where: str, secrets: Sequence[str | None]
) -> GeoAssetsError | FileNotFoundError:
    """The error of ours that says what to do about an error of the obstore client.

    Args:
        error: What the client raised; told apart by class name, so that this module, like
            all but two, works without the client.
        where: The address of the object.
        secrets: Texts that the result may not show.
    """
    if isinstance(error, GeoAssetsError):
        return error
    if isinstance(error, OSError) and error.errno is not None:  # ours, not the client's
        return ConfigError(
            "The folder for files in flight can be written and has room",
            error.strerror or str(error),
            str(error.filename or where),
            "Free space, or set GEO_ASSETS_SCRATCH to another folder.",
        )
    text, kind = str(error), type(error).__name__
    gist, code, status = summary(text, secrets), code_of(text), status_of(text)
    if code == "NoSuchBucket":
        return ConfigError("The bucket exists", gist, where, "Create it, or correct its name.")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(where)
    refused = kind in _REFUSED or status in (401, 403) or code in _REFUSED_CODES
    if refused or NO_CREDENTIALS in text:
        return ConfigError(
            "The store accepts the credentials",
            gist,
            where,
            "Check the keys, the region, the policy of the bucket and the clock.",
        )
    passing = status is None or status in _PASSING_STATUS or code in _PASSING_CODES
    # The reply to a HEAD has no body, so a timed-out request looks like any other bad one.
    passing |= status == _BAD_REQUEST and not code
    if passing and kind not in _FINAL and not isinstance(error, ValueError):
        return TransientError("The store answers", gist, where)
    return ConfigError("The store can do what is asked of it", gist, where)
