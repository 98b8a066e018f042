"""Opening remote stores: addresses and credentials in, a `RemoteObjects` out."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, HTTPStore, MemoryStore, S3Store

from geo_assets.errors import ConfigError, InputError
from geo_assets.store.faults import NO_CREDENTIALS
from geo_assets.store.objects import S3Access
from geo_assets.store.paths import checked_path
from geo_assets.store.redact import summary
from geo_assets.store.remote import Connect, RemoteObjects

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Client

RETRIES: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=120),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}
"""Of the client itself; `Backoff` around it also repeats what the client does not."""

_SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_CLIENT_SECRET",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)
_REFRESH = timedelta(minutes=10)
_memory: dict[str, MemoryStore] = {}


def open_remote(uri: str, scheme: str, s3: S3Access) -> RemoteObjects:
    """The store at a URL.

    Raises:
        ConfigError: The URL or the credentials make no sense.
    """
    if scheme in ("http", "https"):
        return _open_http(uri)
    bucket, _, prefix = uri.partition("://")[2].partition("/")
    prefix = prefix.strip("/")
    if not bucket or "?" in uri:
        shown = uri.split("?", 1)[0]
        raise ConfigError("The address of a bucket is scheme://bucket/prefix", repr(shown))
    try:
        checked_path(prefix or "root", uri)
    except InputError as error:
        raise ConfigError(error.rule, error.got, uri) from None
    address = f"{scheme}://{bucket}/{prefix}".rstrip("/")
    secrets = [os.environ.get(name) for name in _SECRET_VARIABLES]
    if scheme == "memory":
        store = _memory.setdefault(address, MemoryStore())
        return RemoteObjects(lambda *_: store, address)
    secrets += [s3.secret, s3.session_token]
    connect = _s3(bucket, prefix, s3) if scheme == "s3" else _other(scheme, bucket, prefix)
    try:
        return RemoteObjects(connect, address, secrets=secrets)
    except BaseError as error:
        gist = summary(str(error), secrets)
    raise ConfigError("The store can be opened", gist, address, "Check the settings around it.")


def _open_http(uri: str) -> RemoteObjects:
    """A web server; user name, password and query are sent but never shown."""
    parts = urlsplit(uri)
    if not parts.hostname:
        raise ConfigError("The address of a web server names a host", repr(uri.split("?", 1)[0]))
    shown = f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}".rstrip("/")

    def connect(timeout_s: int, idle_s: int | None) -> Client:
        options: ClientConfig = {**_limits(timeout_s, idle_s), "allow_http": True}
        return HTTPStore(uri, client_options=options, retry_config=RETRIES)

    return RemoteObjects(connect, shown, secrets=[parts.password, parts.query], read_only=True)


def _other(scheme: str, bucket: str, prefix: str) -> Connect:
    kind: Any = GCSStore if scheme == "gs" else AzureStore

    def connect(timeout_s: int, idle_s: int | None) -> Client:
        options = _limits(timeout_s, idle_s)
        store: Client = kind(
            bucket, prefix=prefix or None, client_options=options, retry_config=RETRIES
        )
        return store

    return connect


def _s3(bucket: str, prefix: str, access: S3Access) -> Connect:
    if (access.access_key is None) != (access.secret is None):
        raise ConfigError("S3 credentials are an access key and a secret", "only one of them")
    session = None if access.unsigned or access.access_key else _session(access)
    region = access.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    config: dict[str, Any] = {"region": region or (session and session.region_name) or "us-east-1"}
    endpoint = access.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3")
    if endpoint := endpoint or os.environ.get("AWS_ENDPOINT_URL"):
        config["endpoint"] = endpoint
    if access.unsigned:
        config["skip_signature"] = True
    else:
        # By provider also when the keys are known: as plain options they would be mixed with
        # a session token that happens to be in the environment.
        config["credential_provider"] = _Credentials(access, session)
    extra: ClientConfig = {"allow_http": (endpoint or "").startswith("http://")}
    if access.verify is False:
        extra["allow_invalid_certificates"] = True
    elif isinstance(access.verify, str):
        extra["root_certificate"] = Path(access.verify).read_bytes()

    def connect(timeout_s: int, idle_s: int | None) -> Client:
        options: ClientConfig = {**_limits(timeout_s, idle_s), **extra}
        return S3Store(
            bucket, prefix=prefix or None, client_options=options, retry_config=RETRIES, **config
        )

    return connect


def _limits(timeout_s: int, idle_s: int | None) -> ClientConfig:
    """Explicit time limits: the default ends any request, a large upload too, after 30 s."""
    limits: ClientConfig = {
        "timeout": timedelta(seconds=timeout_s),
        "connect_timeout": timedelta(seconds=10),
    }
    if idle_s is not None:
        limits["read_timeout"] = timedelta(seconds=idle_s)
    return limits


def _session(access: S3Access) -> Any:
    import boto3

    if access.profile and access.profile not in boto3.Session().available_profiles:
        raise ConfigError("The AWS profile exists", repr(access.profile), "", "Add it to ~/.aws.")
    return boto3.Session(profile_name=access.profile)


class _Credentials:
    """Keys for the client: given ones, or those that boto3 finds, asked for when needed.

    The client calls it from a thread of its own, so that looking for credentials (a file, a
    metadata server) blocks no event loop.
    """

    def __init__(self, access: S3Access, session: Any) -> None:
        self._access = access
        self._session = session

    def __call__(self) -> Any:
        if self._session is None:
            return {
                "access_key_id": self._access.access_key,
                "secret_access_key": self._access.secret,
                "token": self._access.session_token,
                "expires_at": None,
            }
        if (found := self._session.get_credentials()) is None:
            raise ConfigError(NO_CREDENTIALS)
        keys = found.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(UTC) + _REFRESH,
        }
