"""Spans and metrics as the real clients send them, and nothing of it when it is off."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from geo_assets.engine.engine import Engine
from geo_assets.errors import ConfigError
from geo_assets.observability import exporting
from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.settings import Settings
from geo_assets_tests.automation import small_defs
from geo_assets_tests.automation.small_defs import KEYS
from geo_assets_tests.engine import faulty
from geo_assets_tests.engine.conftest import collect, make

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("prometheus_client")

RUN = "0c5e1f6a-1111-4222-8333-444455556666"


def run(tmp_path, keys=KEYS[:3], **settings) -> dg.ExecuteInProcessResult:
    (tmp_path / "source").mkdir(exist_ok=True)
    for key in keys:
        (tmp_path / "source" / key).write_text("poison" if key == KEYS[2] else key)
    made = Settings(scratch=tmp_path / "scratch", workers=2, **settings)
    store = GeoStore(root=str(tmp_path / "store"), source=str(tmp_path / "source"), s3=S3Resource())
    resources = dict(small_defs.defs.resources or {}) | {
        "geo_store": store, "geo_engine": GeoEngine.from_settings(made),
    }  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [small_defs.texts], instance=instance, resources=resources, raise_on_error=False,
            tags={RANGE_START: keys[0], RANGE_END: keys[-1]},
        )  # fmt: skip


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that keeps what is sent to it: path and body."""
    seen: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        do_POST = do_PUT  # noqa: N815

        def log_message(self, *args) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_run_is_one_trace_from_run_to_stage(tmp_path, monkeypatch):
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from geo_assets.observability import otel

    memory = InMemorySpanExporter()
    monkeypatch.setattr(otel, "OTLPSpanExporter", lambda *args, **options: memory)
    result = run(tmp_path, otel="http://nowhere")
    spans = memory.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans}
    assert {span.context.trace_id for span in spans} == {int(result.run_id.replace("-", ""), 16)}

    def chain(span) -> list[str]:
        above = [] if span.parent is None else chain(by_id[span.parent.span_id])
        return [*above, span.name]

    chains = {" > ".join(chain(span)) for span in spans}
    for key in KEYS[:2]:
        path = f"run > asset core/texts > partition {key} > chunk text"
        for stage in ("fetch", "compute", "stage"):
            assert f"{path} > {stage}" in chains
    chunks = [span for span in spans if span.name == "chunk text"]
    bad = [span for span in chunks if not span.status.is_ok and span.status.description]
    assert [span.status.description for span in bad] == ["input"]
    for span in chunks:
        told = span.attributes
        assert told["geo_assets.run"] == result.run_id
        assert told["geo_assets.asset"] == "core/texts"
        assert told["geo_assets.partition"] in KEYS[:3]
        assert told["geo_assets.worker"].startswith("w")
        part = [s for s in spans if s.parent and s.parent.span_id == span.context.span_id]
        assert all(span.start_time <= s.start_time <= s.end_time <= span.end_time for s in part)


def test_spans_reach_a_collector_over_http(tmp_path, gateway):
    address, seen = gateway
    run(tmp_path, KEYS[:2], otel=address)
    assert {path for path, _ in seen} == {"/v1/traces"}
    assert any(b"partition p00001" in body or body[:2] == b"\x1f\x8b" for _, body in seen)


def test_metrics_reach_a_gateway_as_prometheus_reads_them(tmp_path, gateway):
    from prometheus_client.parser import text_string_to_metric_families

    address, seen = gateway
    run(tmp_path, prometheus=address)
    path, body = seen[-1]
    assert path.startswith("/metrics/job/geo_assets/instance/")
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert values["geo_assets_chunks_total", "done"] == 2
    assert values["geo_assets_chunks_total", "lost"] == 1
    assert values["geo_assets_requests_total",] > 10
    assert values["geo_assets_bytes_total", "written"] > 0
    assert values["geo_assets_seconds_total", "compute"] > 0
    assert 0 < values["geo_assets_loop_lag_seconds", "0.99"] < 60
    assert values["geo_assets_memory_bytes", "worker_rss_peak"] > 0
    assert values["geo_assets_budget_bytes",] > 0


async def test_retries_are_told_by_cause_and_a_dead_gateway_fails_nothing(tmp_path, caplog):
    from geo_assets.observability.prometheus import EngineCollector

    settings = Settings(scratch=tmp_path / "s", workers=1, prometheus="http://127.0.0.1:9")
    async with Engine.open(settings, preload=()) as engine, exporting(settings, engine, RUN):
        chunk = make(faulty.kill_once, 1, marker=tmp_path / "marker")
        await collect(engine, [chunk])
        families = {family.name: family for family in EngineCollector(engine.telemetry).collect()}
        retries = {s.labels["cause"]: s.value for s in families["geo_assets_retries"].samples}
        assert retries == {"worker_crashed": 1}
    assert "metrics cannot be pushed" in caplog.text


async def test_without_the_client_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "geo_assets.observability.prometheus", raising=False)
    settings = Settings(scratch=tmp_path / "s", workers=1, prometheus="http://gateway:9091")
    async with Engine.open(settings, preload=()) as engine:
        with pytest.raises(ConfigError, match="observability"):
            async with exporting(settings, engine, RUN):
                pass


def test_nothing_is_imported_when_it_is_off():
    code = (
        "import sys, geo_assets.definitions;"
        "print({'opentelemetry', 'prometheus_client'} & {m.split('.')[0] for m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code],
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout.strip() == "set()", done.stderr
