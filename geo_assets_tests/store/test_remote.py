"""Remote stores under faults: retried, settled or named, never wrong and never a secret shown."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config

from geo_assets.errors import ConfigError, InputError, TransientError
from geo_assets.store import remote
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.faults import translated
from geo_assets.store.objects import S3Access, open_store
from geo_assets.store.redact import summary
from geo_assets.store.retrying import Backoff
from geo_assets_tests.conftest import free_port, wait_for_port
from geo_assets_tests.store.conftest import paths
from geo_assets_tests.store.fault_proxy import Fault, first

BODY = os.urandom(200_000)


@pytest.fixture(autouse=True)
def impatient_client(monkeypatch):
    monkeypatch.setattr(remote, "Backoff", partial(Backoff, attempts=4, first_s=0.01, max_s=0.05))


@pytest.fixture
def behind(s3_server, proxy):
    """A store behind the proxy, and the same one without it."""
    bucket = s3_server.bucket()
    through = open_store(f"s3://{bucket}/p", s3=s3_server.access(proxy.endpoint))
    return through, open_store(f"s3://{bucket}/p", s3=s3_server.access())


PASSING = [
    Fault(kind="status", status=503, code="SlowDown"),
    Fault(kind="status", status=429, code="TooManyRequests"),
    Fault(kind="status", status=500, code="InternalError"),
    Fault(kind="status", status=400, code="RequestTimeout"),
    Fault(kind="reset"),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault.kind}-{fault.code}")
async def test_what_passes_is_tried_again(behind, proxy, fault):
    through, direct = behind
    for method, work in {
        "PUT": lambda: through.put("a", BODY), "GET": lambda: through.get("a"),
        "DELETE": lambda: through.delete(["b"]), "POST": lambda: through.delete(["b"]),
    }.items():  # fmt: skip
        proxy.plan = first(1, fault, method)
        await work()
    proxy.plan = first(1, fault, "GET", "list-type")
    assert await paths(through) == ["a"]
    proxy.plan = first(1, fault, "PUT")
    assert await through.create("new", BODY)
    assert await direct.get("new") == BODY


@pytest.mark.parametrize(
    "fault",
    [Fault(kind="lost_reply"), Fault(kind="status", status=409, code="ConditionalRequestConflict")],
    ids=["lost_reply", "409"],
)
async def test_create_never_claims_what_it_does_not_know(behind, proxy, fault):
    """After a lost reply the object is there, after a 409 it is not: both say False."""
    through, direct = behind
    proxy.plan = first(1, fault, "PUT")
    assert await through.create("a", BODY) is False
    assert (await direct.head("a") is not None) == (fault.kind == "lost_reply")


async def test_a_conflict_on_overwriting_is_tried_again(behind, proxy):
    through, direct = behind
    proxy.plan = first(1, Fault(kind="status", status=409, code="OperationAborted"), "PUT")
    await through.put("a", BODY)
    assert await direct.get("a") == BODY


@pytest.mark.parametrize("size", [200_000, 2 << 20])
async def test_a_reply_cut_short_is_completed(behind, proxy, tmp_path, size):
    through, direct = behind
    body = os.urandom(size)
    await direct.put("a", body)
    proxy.plan = first(1, Fault(kind="cut_reply", after=100_000), "GET")
    await through.download("a", tmp_path / "a", size=size)
    assert (tmp_path / "a").read_bytes() == body


@pytest.mark.parametrize("size", [200_000, 2 << 20])
async def test_a_flipped_bit_is_found(behind, proxy, tmp_path, size):
    through, direct = behind
    body = os.urandom(size)
    await direct.put("folder/a", body)
    proxy.plan = first(1, Fault(kind="flip_bit"), "GET", "folder/a")
    expected = hashlib.sha256(body).hexdigest()
    with pytest.raises(
        InputError, match=rf"got [0-9a-f]{{64}} instead of {expected}, in s3://.*folder/a"
    ):
        await through.download("folder/a", tmp_path / "a", sha256=expected)
    assert not list(tmp_path.iterdir())


async def test_an_object_that_changes_while_it_is_read(behind, proxy, tmp_path, s3_server):
    through, direct = behind
    await direct.put("a", bytes(2 << 20))
    changed = []

    def change(method, path):
        if method == "GET" and not changed:
            changed.append(s3_server.put(path, b"1" * (2 << 20)))

    proxy.plan = change
    with pytest.raises(InputError, match="does not change while it is read"):
        await through.download("a", tmp_path / "a")
    assert not list(tmp_path.iterdir())


async def test_a_full_disk_is_not_taken_for_a_fault_of_the_store(behind, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _, direct = behind
    await direct.put("a", b"1")
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ConfigError, match=r"No space left.*GEO_ASSETS_SCRATCH"):
        await direct.download("a", tmp_path / "a")
    assert not list(tmp_path.iterdir())


async def test_a_cancelled_download_waits_for_its_threads(behind, tmp_path, monkeypatch):
    """A write after the file is closed could hit another file with the same descriptor."""
    _, direct = behind
    await direct.put("a", bytes(1000))
    entered, leave, real = threading.Event(), threading.Event(), os.pwrite

    def slow(descriptor, view, offset):
        entered.set()
        assert leave.wait(10)
        return real(descriptor, view, offset)  # would fail if the file was closed

    monkeypatch.setattr(os, "pwrite", slow)
    task = asyncio.ensure_future(direct.download("a", tmp_path / "a"))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(tmp_path.iterdir())


async def test_a_listing_that_breaks_goes_on_after_the_last_path(behind, proxy):
    through, direct = behind
    names = [f"p/{number:04d}" for number in range(1010)]
    await asyncio.gather(*(direct.put(name, b"") for name in names))
    seen = []
    async for meta in through.list("p"):
        if len(seen) == 500:
            proxy.plan = first(4, Fault(kind="status"), "GET", "list-type")
        seen.append(meta.path)
    assert seen == names


async def test_what_does_not_pass_is_named(behind, proxy, s3_server):
    through, _ = behind
    proxy.plan = lambda method, path: Fault(kind="status", status=503, code="SlowDown")
    with pytest.raises(TransientError, match=r"503.*SlowDown \(planned\).*s3://"):
        await through.get("a")
    absent = open_store("s3://no-such-bucket-here/p", s3=s3_server.access())
    with pytest.raises(ConfigError, match="The bucket exists"):
        await absent.create("a", b"")


async def test_no_server(tmp_path):
    access = S3Access(endpoint_url=f"http://127.0.0.1:{free_port()}", access_key="k", secret="s")
    with pytest.raises(TransientError, match="The store answers"):
        await open_store("s3://bucket", s3=access).get("a")


async def test_a_cancelled_upload_leaves_nothing(behind, proxy, s3_server):
    through, direct = behind
    proxy.plan = lambda method, path: Fault(kind="silence")
    task = asyncio.ensure_future(through.create("a", BODY))
    await proxy.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    assert await direct.head("a") is None


@pytest.fixture
def moto(tmp_path):
    """A server that checks signatures after the four requests that make a user and a bucket."""
    port, log = free_port(), tmp_path / "moto.log"
    env = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "4"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=env,
        )  # fmt: skip
    try:
        wait_for_port(port, server, log)
        endpoint = f"http://127.0.0.1:{port}"
        yield endpoint, *_moto_user(endpoint)
    finally:
        server.terminate()
        server.wait()


async def test_wrong_keys_are_a_clear_error(moto):
    endpoint, key, secret = moto

    def opened(key: str, secret: str):
        access = S3Access(endpoint_url=endpoint, access_key=key, secret=secret, region="us-east-1")
        return open_store("s3://bucket/p", s3=access)

    await ArtifactStore(opened(key, secret)).probe()
    for objects in (opened(key, "a-wrong-secret"), opened("AKIAUNKNOWN", secret)):
        with pytest.raises(ConfigError, match="accepts the credentials") as error:
            await objects.get("_probe/create-if-absent")
        assert "a-wrong-secret" not in str(error.value) and secret not in str(error.value)
        with pytest.raises(ConfigError, match="accepts the credentials"):
            await objects.create("x", b"")


def _moto_user(endpoint: str) -> tuple[str, str]:
    def client(service, key="x", secret="y"):
        return boto3.client(
            service, endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key=secret,
            region_name="us-east-1", config=Config(s3={"addressing_style": "path"}),
        )  # fmt: skip

    iam = client("iam")
    iam.create_user(UserName="user")
    keys = iam.create_access_key(UserName="user")["AccessKey"]
    everything = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
    )
    iam.put_user_policy(UserName="user", PolicyName="all", PolicyDocument=everything)
    pair = keys["AccessKeyId"], keys["SecretAccessKey"]
    client("s3", *pair).create_bucket(Bucket="bucket")
    return pair


async def test_no_credentials_at_all(monkeypatch, tmp_path, s3_server):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    objects = open_store("s3://bucket", s3=S3Access(endpoint_url=s3_server.endpoint))
    with pytest.raises(ConfigError, match="No AWS credentials"):
        await objects.get("a")
    with pytest.raises(ConfigError, match="profile exists"):
        open_store("s3://bucket", s3=S3Access(profile="no-such-profile"))


async def test_credentials_from_the_environment(monkeypatch, s3_server):
    bucket = s3_server.bucket()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    objects = open_store(f"s3://{bucket}")
    assert await objects.create("a", b"1")


@pytest.fixture
def web(tmp_path):
    """A plain web server, which knows no ranges; its address and folder."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            queries.append(self.path)

    queries: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder, queries
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_web_server_is_read_only(web, tmp_path):
    address, folder, queries = web
    (folder / "sub dir").mkdir()
    body = os.urandom(2 << 20)
    (folder / "sub dir" / "é+%.bin").write_bytes(body)
    objects = open_store(f"{address}/sub dir?token=topsecret")
    await objects.download("é+%.bin", tmp_path / "f", sha256=hashlib.sha256(body).hexdigest())
    assert (await objects.head("é+%.bin")).size == len(body)
    assert "token=topsecret" in queries[0]
    with pytest.raises(FileNotFoundError) as error:
        await objects.get("missing")
    assert "topsecret" not in str(error.value)
    with pytest.raises(ConfigError, match="can be written"):
        await objects.create("x", b"")
    with pytest.raises(ConfigError, match="cannot be listed"):
        await paths(objects)


def test_error_texts_are_short_and_clean():
    text = (
        "Generic S3 error: GET https://user:pw@host/b/k?X-Amz-Signature=abc&x=1 status code: 403 "
        "Forbidden: <?xml version='1.0'?><Error><Code>SignatureDoesNotMatch</Code>"
        "<Message>no</Message><StringToSign>AWS4 SECRET</StringToSign></Error>\n\n"
        "Debug source:\nGeneric { hidden }"
    )
    clean = summary(text, ["SECRET", None])
    assert clean.endswith(
        "https://host/b/k?... status code: 403 Forbidden: SignatureDoesNotMatch (no)"
    )
    assert "***" in summary("the key is tops3cret indeed", ["tops3cret"])
    assert len(summary("x" * 5000)) == 300
    error = translated(OSError(text), "s3://b/k", [])
    assert isinstance(error, ConfigError) and "abc" not in str(error)


async def test_a_timed_out_request_is_tried_again_though_its_reply_has_no_body(behind, proxy):
    through, direct = behind
    await direct.put("a", b"abc")
    proxy.plan = first(2, Fault(kind="status", status=400, code="RequestTimeout"), "HEAD")
    meta = await through.head("a")
    assert meta and meta.size == 3


async def test_a_bad_request_that_stays_bad_ends_after_a_few_tries(behind, proxy):
    through, _ = behind
    proxy.plan = first(1000, Fault(kind="status", status=400, code="Whatever"), "HEAD")
    with pytest.raises(TransientError, match="400"):
        await through.head("a")


def test_a_short_lived_process_ends_well():
    """Threads of the client that outlive the interpreter abort the process."""
    code = (
        "import asyncio\n"
        "from geo_assets.store.objects import open_store\n"
        "async def main():\n"
        "    objects = open_store('memory://x')\n"
        "    await asyncio.gather(*(objects.create(f'a/{n}', b'') for n in range(50)))\n"
        "asyncio.run(main())\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
