"""Controllers that are taken away in good order, that only answer, or are upgraded one after the other: real ones."""

from __future__ import annotations

import re
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import vmctl
from tests.cluster.replicas import DEPOSED, Home, replicas, wait_for
from tests.postgres import Postgres
from vmctl.store.schema import COMPATIBLE_FROM

pytestmark = pytest.mark.long
TAKEOVER_S = 15.0


@pytest.fixture
def dsn(postgres_server: Postgres) -> Iterator[str]:
    yield postgres_server.create("draining")
    postgres_server.drop("draining")


def told(home: Home) -> dict[str, dict[str, Any]]:
    """The controllers that have not ended, by name."""
    return {one["name"]: one for one in home.json("controller", "list")}


def leader(home: Home) -> str:
    return next((name for name, one in told(home).items() if one["leads"] and one["state"] == "alive"), "")


def gone(home: Home, name: str) -> None:
    """One that was killed is found out, where anybody is left who looks."""
    wait_for(lambda: name not in told(home), f"{name} has ended", TAKEOVER_S * 2)


def begin_again(home: Home) -> None:
    """As its unit does where its life was ended."""
    assert home.running is not None and home.running.wait(30) == DEPOSED
    home.serve()


def test_the_leader_drains_and_another_one_leads(tmp_path: Path, dsn: str) -> None:
    with replicas(tmp_path, dsn, 3) as (first, second, third):
        drained = threading.Thread(target=lambda: said.append(second.vmctl("controller", "drain", "a")))
        said: list[Any] = []
        drained.start()
        begin_again(first)
        drained.join(60)
        assert said[0].returncode == 0 and "may be stopped" in said[0].stdout, said[0].stderr
        assert leader(second) in ("b", "c") and told(second)["a"]["draining"]
        assert first.vmctl("project", "create", "blue").returncode == 0, "it goes on to answer"
        events = [one["text"] for one in second.json("events") if one["kind"] == "controller"]
        assert any("drains controller a" in text for text in events)
        assert not any("dead, frozen" in text for text in events), "nobody waited for its silence"
        # It leads only where nobody else can, and that stays so when it begins anew.
        first.kill()
        first.serve()
        assert told(first)["a"]["draining"]
        for home, name in ((second, "b"), (third, "c")):
            home.kill()
            gone(first, name)
        wait_for(lambda: leader(first) == "a", "it leads where nobody else can", TAKEOVER_S)
        assert first.vmctl("project", "create", "green").returncode == 0
        third.serve()
        begin_again(first)  # it leaves that to one that can
        wait_for(lambda: leader(third) == "c", "c leads", TAKEOVER_S)
        undrained = third.vmctl("controller", "undrain", "a")
        assert undrained.returncode == 0 and not told(third)["a"]["draining"]
        words = [one["what"] for one in third.json("audit")]
        assert words.count("controller drain") == words.count("controller undrain") == 1


def test_it_is_not_drained_where_nobody_could_take_its_place(tmp_path: Path, dsn: str) -> None:
    with replicas(tmp_path, dsn, 1) as [first]:
        refused = first.vmctl("controller", "drain", "a")
        assert refused.returncode == 3 and "no other controller could take the place of a" in refused.stderr
        assert "serve --stop" in refused.stderr
        first.kill()
        stopped = first.vmctl("controller", "undrain", "a")
        assert stopped.returncode == 0, "one that is stopped, or just begins, gets its share when it is there"
        first.serve()
        unknown = first.vmctl("controller", "drain", "nosuch")
        assert unknown.returncode == 4 and "nosuch" in unknown.stderr
        assert first.vmctl("controller", "show", "nosuch").returncode == 4
        shown = first.json("controller", "show", "a")
        assert (shown["term"], shown["roles"], shown["watches"], shown["open_tasks"]) == (2, "naming,proxy", [], 0)
        assert "leads for" in first.vmctl("controller", "show", "a").stdout


def test_one_that_is_no_naming_one_answers_and_never_leads(tmp_path: Path, dsn: str) -> None:
    first, proxy = Home(tmp_path / "a", dsn), Home(tmp_path / "b", dsn, roles="proxy")
    try:
        proxy.begin()
        wait_for(lambda: "b" in told(proxy), "it is there")
        assert leader(proxy) == "", "nobody leads yet"
        first.serve()
        wait_for(lambda: leader(proxy) == "a", "the other one leads")
        assert proxy.vmctl("project", "create", "blue").returncode == 0
        assert proxy.vmctl("controller", "drain", "a").returncode == 3, "a proxy could not take its place"
        first.kill()
        gone(proxy, "a")
        listed = proxy.vmctl("project", "list", "-o", "name")
        assert sorted(listed.stdout.split()) == ["blue", "default"] and "no leader answers" in listed.stderr
        assert leader(proxy) == ""
    finally:
        for home in (first, proxy):
            home.kill()


@pytest.mark.parametrize("wrong", ["", "naming,manger", "leader"])
def test_what_is_no_role_is_told(tmp_path: Path, dsn: str, wrong: str) -> None:
    home = Home(tmp_path / "a", dsn, roles=wrong)
    done = home.vmctl("serve")
    assert done.returncode == 2 and "is no role of a controller" in done.stderr and "naming, proxy" in done.stderr


def test_one_that_is_alone_must_be_naming(tmp_path: Path) -> None:
    home = Home(tmp_path / "a", "", roles="proxy")
    done = home.vmctl("serve")
    assert done.returncode == 2 and "one that is alone must be naming" in done.stderr


# -- versions that roll

NEWER = '''
"""a column that a newer version has"""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9001", {head!r}, None, None


def upgrade() -> None:
    op.add_column("project", sa.Column("colour", sa.String(), nullable=False, server_default="blue"))


def downgrade() -> None:
    op.drop_column("project", "colour")
'''


def newer(folder: Path, *, compatible_from: str = "") -> Path:
    """The next version: its code, with a migration more, which controllers know that know that revision."""
    shutil.copytree(Path(vmctl.__file__).parent, folder / "vmctl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(vmctl.__file__).parent.parent / "guest_agent", folder / "guest_agent")
    versions = folder / "vmctl" / "store" / "migrations" / "versions"
    head = max(path.name for path in versions.glob("0*.py"))[:4]
    (versions / "9001_newer.py").write_text(NEWER.format(head=head))
    for path, name, value in (
        (folder / "vmctl" / "__init__.py", "__version__", "9.1"),
        (folder / "vmctl" / "store" / "schema.py", "COMPATIBLE_FROM", compatible_from or COMPATIBLE_FROM),
    ):
        text, count = re.subn(rf'^{name} = ".*"$', f'{name} = "{value}"', path.read_text(), flags=re.MULTILINE)
        assert count == 1
        path.write_text(text)
    return folder


def columns(home: Home) -> list[str]:
    with psycopg.connect(home.dsn) as opened:
        found = opened.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'project'")
        return [name for (name,) in found]


def test_versions_roll_while_clients_go_on(tmp_path: Path, dsn: str) -> None:
    code = newer(tmp_path / "next")
    with replicas(tmp_path, dsn, 3) as homes:
        first, second, third = homes
        assert first.vmctl("project", "create", "before").returncode == 0
        failed: list[tuple[str, Any]] = []
        rolled, asked = threading.Event(), [first]

        def client() -> None:
            number = 0
            while not rolled.is_set():
                number += 1
                for words in (("project", "create", f"p{number}"), ("project", "list")):
                    done = asked[0].vmctl(*words)
                    if done.returncode != 0:
                        failed.append((" ".join(words), done))

        clients = threading.Thread(target=client)
        clients.start()
        try:
            # The one that leads is the last. Who is about to go is asked no more, as one behind a balancer is not.
            for home, asked[0] in ((second, first), (third, second), (first, second)):
                home.vmctl("controller", "drain", home.folder.name)
                assert home.running is not None
                if home.running.poll() is None:
                    home.running.terminate()
                assert home.running.wait(30) in (0, DEPOSED)
                home.code = code
                home.serve()
                assert home.vmctl("controller", "undrain", home.folder.name).returncode == 0
                assert told(home)[home.folder.name]["version"] == "9.1"
                if home is second:
                    assert "colour" in columns(first)
                    # One of the version before may even begin anew beside it.
                    third.kill()
                    gone(first, "c")
                    third.serve()
                    assert "go on beside it" in third.vmctl("db", "status").stdout
        finally:
            rolled.set()
            clients.join(60)
        assert failed == []
        assert {one["version"] for one in told(first).values()} == {"9.1"}
        assert "before" in first.vmctl("project", "list", "-o", "name").stdout.split()


def test_a_version_that_others_could_not_go_on_beside_does_not_begin(tmp_path: Path, dsn: str) -> None:
    code = newer(tmp_path / "next", compatible_from="9001")
    with replicas(tmp_path, dsn, 2) as (first, second):
        second.send(signal.SIGTERM)
        assert second.running is not None and second.running.wait(30) == 0
        second.code = code
        refused = second.vmctl("serve")
        assert refused.returncode != 0
        assert f"could not go on once it is upgraded: a ({vmctl.__version__})" in refused.stderr, refused.stderr
        assert "colour" not in columns(first) and first.vmctl("project", "create", "blue").returncode == 0
        first.send(signal.SIGTERM)
        assert first.running is not None and first.running.wait(30) == 0
        second.serve()
        assert "colour" in columns(second) and "blue" in second.vmctl("project", "list", "-o", "name").stdout
        late = first.vmctl("serve")
        assert "written by a newer vmctl" in late.stderr and "upgrade vmctl" in late.stderr
