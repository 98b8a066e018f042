"""Value types: findings stay small, fingerprints are stable."""

from geo_assets.model import MAX_SAMPLES, Artifact, Defect, Findings, OutputFile, fingerprint


def _defects(number, kind="gap"):
    return [Defect(kind=kind, feature=str(i), lon=1.0, lat=2.0, detail="x") for i in range(number)]


def test_findings_count_all_and_keep_few():
    findings = Findings.of(_defects(500), checked=1000)
    assert findings.counts == {"gap": 500}
    assert findings.total == 500
    assert len(findings.samples) == MAX_SAMPLES


def test_findings_add_up():
    both = Findings.of(_defects(40), checked=100) + Findings.of(_defects(30, "overlap"), checked=50)
    assert both.checked == 150
    assert both.counts == {"gap": 40, "overlap": 30}
    assert len(both.samples) == MAX_SAMPLES


def test_findings_survive_json():
    findings = Findings.of(
        [Defect(kind="corrupt", window=(0, 1, 2, 3), detail="block"), *_defects(2)], checked=3
    )
    assert Findings.from_dict(findings.as_dict()) == findings


def test_fingerprints_do_not_depend_on_key_order():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert fingerprint("a", "b") != fingerprint("ab")


def test_output_files_are_measured(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    output = OutputFile.of(path, "x", "text/plain")
    assert output.size == 3
    assert output.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_artifacts_name_their_objects(tmp_path):
    artifact = Artifact(
        asset=("raw", "scenes"), partition="a", sequence=1, version="v", data_prefix="", objects=()
    )
    assert artifact.label == "raw/scenes[a]"
    try:
        artifact.object("missing")
    except KeyError as error:
        assert "raw/scenes[a] has no object 'missing'" in str(error)
    else:
        raise AssertionError
