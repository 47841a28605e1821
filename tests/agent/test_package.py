"""What is shipped: one file that any Python runs, the same bytes from the same sources, and a Debian package."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "deploy" / "agent" / "build"
CHECKS = {
    "types": ("mypy", "guest_agent", str(BUILD)),
    "lint": ("ruff", "check", "guest_agent", str(BUILD)),
    "form": ("ruff", "format", "--check", "guest_agent", str(BUILD)),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what was built."""
    if not shutil.which("dpkg-deb"):
        pytest.fail("dpkg-deb is needed to build the package")
    place = tmp_path_factory.mktemp("agent")
    subprocess.run([sys.executable, BUILD, "--out", place], check=True, capture_output=True)
    return place


@pytest.mark.parametrize("check", CHECKS)
def test_the_code_is_clean(check: str) -> None:
    done = subprocess.run([sys.executable, "-m", *CHECKS[check]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_sources_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, BUILD, "--out", tmp_path], check=True, capture_output=True)
    for path in built.iterdir():
        one, other = (hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, tmp_path / path.name))
        assert one == other, path.name


def test_the_zipapp_runs_alone(built: Path, tmp_path: Path) -> None:
    pyz = tmp_path / "vmctl-agent.pyz"
    shutil.copy(built / "vmctl-agent.pyz", pyz)
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", pyz, "--once", "--config", ROOT / "deploy/agent/examples/apache.toml"],
        cwd="/", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert '"apache"' not in done.stdout and '"processes"' in done.stdout
    assert pyz.stat().st_size < 120_000
    names = zipfile.ZipFile(pyz).namelist()
    assert {"serial/serialposix.py", "tomli/__init__.py", "NOTICE"} <= set(names)
    assert not any("psutil" in name or "__pycache__" in name for name in names)


def test_what_is_in_the_package(built: Path, tmp_path: Path) -> None:
    (deb,) = built.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path], check=True)
    for path in (
        "etc/vmctl-agent.toml",
        "lib/systemd/system/vmctl-agent.service",
        "lib/udev/rules.d/60-vmctl-agent.rules",
        "usr/bin/vmctl-agent",
        "usr/lib/vmctl-agent/__main__.py",
        "usr/share/doc/vmctl-agent/copyright",
        "usr/share/doc/vmctl-agent/examples/tomcat.toml",
    ):
        assert (tmp_path / path).is_file(), path
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", tmp_path / "usr/lib/vmctl-agent", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("vmctl-agent")
    control = subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, text=True, check=True).stdout
    assert "Depends: python3 (>= 3.6)" in control and "@" not in control.replace("@localhost", "")


def test_the_cloud_config_is_whole(built: Path) -> None:
    config = yaml.safe_load((built / "cloud-config.yaml").read_text())
    files = {file["path"]: file["content"] for file in config["write_files"]}
    assert "vmctl-agent.pyz" in files["/etc/systemd/system/vmctl-agent.service"]
    assert not any("@" + mark + "@" in str(files) for mark in ("PYZ", "UNIT", "RULES", "CONFIG"))
    import base64

    assert base64.b64decode(files["/usr/lib/vmctl-agent.pyz"]) == (built / "vmctl-agent.pyz").read_bytes()
