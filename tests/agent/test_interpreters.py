"""The agent runs where the controller's Python does not: its syntax is 3.6's, and old interpreters here run it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.harness import agent

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "guest_agent").glob("*.py"))
# no test framework there: what can be said in a few asserts
PROBE = """
import sys, time
from guest_agent import config, health, masking, picture, proc, repair, versions, wire
decoder = wire.Decoder()
body = {"processes": [{"pid": n, "command": "x" * 200} for n in range(1000)]}
data = b"noise" + b"".join(wire.encode("full", 1, body)) + b"\\x1e{"
found = [one for start in range(0, len(data), 999) for one in decoder.feed(data[start:start + 999])]
assert [type(one).__name__ for one in found] == ["Damage", "Message"], found
assert found[1].body == body
assert config.check({}).watches[0].name == "sshd"
assert "geheim" not in masking.Masks()("x --password geheim")
assert repair.decide(10, 0, [], repair.Limits(3, 600, 5)).step == "restart"
from guest_agent import guest
machine = guest.Guest(config.read(CONFIG), time.monotonic())
machine.scan(time.monotonic()); machine.scan(time.monotonic() + 1)
assert machine.picture.processes and machine.picture.os["cpus"]
print(len(config.read(CONFIG).watches))
"""


def interpreters() -> list[str]:
    """Other Pythons of this machine, the oldest first: on the path, and where pyenv keeps them."""
    places = [shutil.which(f"python3.{minor}") or "" for minor in range(6, 20)]
    root = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    places += [str(path) for path in Path(root).glob("versions/3.*/bin/python3")]
    found: dict[str, str] = {}
    for place in places:
        if place and "/shims/" not in place:
            done = subprocess.run(
                [place, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
            )
            if done.returncode == 0 and done.stdout >= "(3, ":
                found.setdefault(done.stdout.strip(), place)
    return sorted(found.values(), key=lambda place: int(Path(place).resolve().name.split(".")[-1].rstrip("m") or 0))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_syntax_is_that_of_python_3_6(path: Path) -> None:
    ast.parse(path.read_text(), str(path), feature_version=(3, 6))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_nothing_of_the_controller(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        ours = {"guest_agent", "serial", "tomli", "tomllib", *sys.stdlib_module_names}
        ours |= {"psutil"} if path.name == "windows.py" else set()
        assert {name.split(".")[0] for name in names} <= ours
        assert not {"asyncio", "threading", "dataclasses"} & set(names)


def test_every_other_python_of_this_machine_runs_it(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text("")
    site = next(entry for entry in sys.path if entry.endswith("site-packages"))
    for place in interpreters():
        code = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; sys.path.append({site!r})\n{PROBE}".replace(
            "CONFIG", repr(str(config))
        )
        done = subprocess.run([place, "-c", code], capture_output=True, text=True, cwd="/")
        assert done.stdout.strip() == "1", (place, done.stdout, done.stderr)


def test_the_oldest_python_of_this_machine_talks(tmp_path: Path) -> None:
    with agent(tmp_path, "period_s = 0.3\nperiod_min_s = 0.1", python=(interpreters() or [sys.executable])[0]) as host:
        host.wait("hello")
        host.wait("full")
        host.wait("delta")
