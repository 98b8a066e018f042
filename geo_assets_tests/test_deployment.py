"""`deploy/`: units that systemd takes, and an environment whose variables are explained."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
DEPLOY = REPOSITORY / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))


def read(path: Path) -> ConfigParser:
    unit = ConfigParser(interpolation=None)
    unit.read(path)
    return unit


def test_systemd_takes_the_units(tmp_path):
    """Verified with the programs of this environment in the place of installed ones."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd on this machine")
    here = str(Path(sys.executable).parent)
    for unit in UNITS:
        text = unit.read_text().replace("/opt/geo-assets/.venv/bin", here)
        (tmp_path / unit.name).write_text(text)
    names = [str(tmp_path / unit.name) for unit in UNITS]
    said = subprocess.run(
        [program, "verify", "--man=no", *names], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_file_system_that_is_read_only_leaves_tmp_writable(path):
    """Without it the code server comes up and never loads a line of code."""
    service = read(path)["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["PrivateTmp"] == "true"


def test_the_daemon_and_the_web_server_ask_where_the_code_server_answers():
    (location,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    server = location["grpc_server"]
    service = read(DEPLOY / "geo-assets-code.service")["Service"]
    for command in (service["ExecStart"], service["ExecStartPost"]):
        assert f"-h {server['host']} -p {server['port']}" in command


def test_every_variable_of_the_environment_is_explained():
    names = re.findall(r"^#?([A-Z][A-Z_]+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert "GEO_ASSETS_AUTOMATION" in names
    table = (REPOSITORY / "docs" / "deployment.md").read_text()
    table += (REPOSITORY / "README.md").read_text()
    unexplained = {name for name in names if not re.search(rf"^\|.*`{name}\b", table, re.MULTILINE)}
    assert unexplained == set()
