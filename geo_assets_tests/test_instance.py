"""`dagster.yaml` as it is: files by default, PostgreSQL and S3 by one variable each."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.compute_log_manager import ComputeIOType

from geo_assets.errors import ConfigError
from geo_assets.instance import LOG_BUCKET, POSTGRES_URL, postgres_url

YAML = Path(__file__).parents[1] / "dagster.yaml"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    for name in (POSTGRES_URL, LOG_BUCKET):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(YAML, tmp_path)
    return tmp_path


@dg.op
def say() -> None:
    sys.stdout.write("said by a step")


@dg.job
def talk() -> None:
    say()


def output_of_a_run(instance: dg.DagsterInstance) -> tuple[list[str], bytes]:
    result = talk.execute_in_process(instance=instance)
    (entry,) = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED)
    manager = instance.compute_log_manager
    key = manager.build_log_key_for_run(
        result.run_id, entry.dagster_event.logs_captured_data.file_key
    )
    return key, manager.get_log_data(key).stdout


def test_files_by_default(home):
    with dg.DagsterInstance.get() as instance:
        _, text = output_of_a_run(instance)
        assert b"said by a step" in text
        assert instance.get_runs_count() == 1
    assert (home / "history" / "runs.db").exists()
    assert list((home / "storage").rglob("*.out"))


def test_without_a_home_the_files_are_where_make_dev_has_them(home, monkeypatch):
    """`dagster dev` beside `dagster.yaml` makes up a folder and hands it to its processes."""
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.chdir(home)
    ref = InstanceRef.from_dir(str(home / "made_up"), config_dir=str(home))
    for _ in range(2):
        with dg.DagsterInstance.from_ref(InstanceRef.from_dict(ref.to_dict())) as instance:
            output_of_a_run(instance)
            runs = instance.get_runs_count()
    assert runs == 2
    assert (home / ".dagster_home" / "history" / "runs.db").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_database_and_a_bucket_by_a_variable_each(home, postgres, s3_server, monkeypatch):
    for name, value in {
        POSTGRES_URL: postgres.replace("+psycopg2", ""),
        LOG_BUCKET: s3_server.bucket(),
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret,
        "AWS_DEFAULT_REGION": s3_server.region,
    }.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as instance:
        key, text = output_of_a_run(instance)
        assert b"said by a step" in text
        assert instance.compute_log_manager.cloud_storage_has_logs(key, ComputeIOType.STDOUT)
    with dg.DagsterInstance.get() as again:
        assert again.get_runs_count() == 1
    assert not (home / "history").exists()
    assert list((home / "storage").rglob("*.out"))  # what another instance cannot mix with its own


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_the_driver_is_named_for_sqlalchemy(scheme):
    assert postgres_url(f"{scheme}://u:p@h:1/d") == "postgresql+psycopg2://u:p@h:1/d"


@pytest.mark.parametrize("text", ["mysql://u:secret@h/d", "localhost"])
def test_another_database_is_refused_without_showing_its_password(text):
    with pytest.raises(ConfigError, match="is a URL of PostgreSQL") as caught:
        postgres_url(text)
    assert "secret" not in str(caught.value)
