"""Run config says what it means and in which unit, and refuses what makes no sense."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from pydantic import ValidationError

from geo_assets.assembly import assemble
from geo_assets.definitions import defs
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.settings import Settings

JOB = "ingest"
NUMBERS = {"workers": "processes", "memory_bytes": "bytes", "partitions": "partitions"}


@pytest.mark.parametrize("resource", [GeoEngine, GeoStore])
def test_every_field_is_described_and_numbers_name_their_unit(resource):
    for name, field in resource.to_config_schema().as_field().config_type.fields.items():
        if name == "s3":  # described by dagster-aws, field by field
            continue
        assert field.description, name
        if name in NUMBERS:
            assert NUMBERS[name] in field.description.lower()


def config(**fields: object) -> dict:
    return {"resources": {"geo_engine": {"config": fields}}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (config(workers="many"), 'Int'),
        (config(worker=2), 'Received unexpected config entry "worker"'),
        ({"resources": {"engine": {}}}, 'unexpected config entry "engine"'),
    ],
)  # fmt: skip
def test_the_launchpad_refuses_wrong_types_and_names(given, message):
    with pytest.raises(dg.DagsterInvalidConfigError) as caught:
        dg.validate_run_config(defs.resolve_job_def(JOB), given)
    assert message in str(caught.value)


def test_a_run_config_of_one_field_keeps_the_others_as_the_project_has_them():
    settings = Settings(scratch=Path("/fast"), workers=3, root="s3://results", source="s3://in")

    @dg.asset
    def needs(geo_engine: GeoEngine, geo_store: GeoStore) -> None: ...

    project = assemble(dg.Definitions(assets=[needs]), settings=settings)
    given = config(memory_bytes=1 << 30)
    given["resources"]["geo_store"] = {"config": {"source": "s3://other"}}
    found = dg.validate_run_config(project.resolve_job_def(JOB), given)["resources"]
    engine = found["geo_engine"]["config"]
    assert (engine["workers"], engine["memory_bytes"], engine["scratch"]) == (3, 1 << 30, "/fast")
    store = found["geo_store"]["config"]
    assert (store["root"], store["source"]) == ("s3://results", "s3://other")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workers": -1}, "greater than or equal to 0"),
        ({"partitions": 0}, "greater than or equal to 1"),
        ({"memory_bytes": 6}, "6 GiB are 6442450944"),
        ({"log_level": "loud"}, "it is one of debug, info, warning, error"),
        ({"log_format": "yaml"}, "it is one of console, json"),
    ],
)
def test_a_run_refuses_wrong_values_before_it_does_anything(fields, message):
    with pytest.raises(ValidationError, match=message):
        GeoEngine(scratch="unused", **fields)

    @dg.asset
    def needs(geo_engine: GeoEngine) -> None: ...

    engine = GeoEngine.from_settings(Settings())
    project = dg.Definitions(assets=[needs], resources={"geo_engine": engine})
    with dg.DagsterInstance.ephemeral() as instance:
        result = project.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, run_config=config(**fields), raise_on_error=False
        )
        assert not result.success
        said = [str(event.event_specific_data) for event in result.all_events if event.is_failure]
        assert any(message in text for text in said), said
