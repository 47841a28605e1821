"""Processes over HTTP and at the command line, from a picture to what is printed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.api.conftest import Server
from vmctl.cli import processes, wire
from vmctl.cli.main import cli
from vmctl.errors import NotFound, Usage, VmctlError
from vmctl.ledger import ProcessSample
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.vms import Spec

VM = "11111111-2222-3333-4444-555555555555"
HOST = "aaaaaaaa-2222-3333-4444-555555555555"
STARTED = int((time.time() - 3600) * 1e6)
HTTPD = ProcessSample(
    812, 4711, STARTED, 1, "httpd", "2.4", "httpd -D FOREGROUND", "www", "S", 1.5, 64 << 10, 8, (80, 443)
)
EVIL = ProcessSample(
    666, 13, STARTED, 1, "[red]a\x1b[2J\u202eb\n", "", "\x1b]0;x\x07" * 40, "r\roo\tt", "S", 0.0, 10, 1
)


Vmctl = Callable[..., Awaitable[Result]]


@pytest.fixture
async def filled(server: Server) -> Server:
    """One VM with two processes, and an earlier life of the first one."""
    services = server.controller.services
    await services.store.add_vm(VMRecord(Spec(VM, "web1", 1, 512), 1.0))
    await services.store.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0, about={"host_uuid": HOST}))
    first = HTTPD._replace(pid=700, start_ticks=100, cpu=0.5)
    for seen, gone in (([first], None), ([first._replace(cpu=3.0)], []), ([HTTPD, EVIL], [(700, 100)])):
        services.incarnations.guest_picture(VM, "boot-1", seen, ip="10.0.0.7", gone=gone)
    return server


# -- HTTP


async def test_what_runs_and_what_ran(filled: Server) -> None:
    busiest, evil = await filled.get("processes")
    assert (busiest["machine"], busiest["machine_uuid"], busiest["pid"], busiest["valid"]) == ("web1", VM, 812, True)
    assert busiest["name"] == f"10.0.0.7:80:{STARTED}:812" and busiest["cpu"] == 1.5
    assert evil["program"] == EVIL.program, "programs get it as it is"
    ended = (await filled.get("processes", machine="web1", program="httpd", history=True))[-1]
    assert (ended["pid"], ended["valid"], ended["why"], ended["cpu_peak"]) == (700, False, "exit seen", 3.0)
    assert (
        await filled.get("processes", machine=VM, program="sshd") == await filled.get("processes", machine="kvm1") == []
    )
    assert len(await filled.get("processes", most=1)) == 1


async def test_this_life_and_the_one_before(filled: Server) -> None:
    now = await filled.get("processes", f"10.0.0.7:80:{STARTED}:812")
    assert [life["pid"] for life in now["previous"]] == [700]
    before = await filled.get("processes", now["previous"][0]["uuid"])
    assert before["samples"][-1] == {"age_s": 0, "cpu": 3.0, "rss_kib": 64 << 10}
    assert before["previous"] == []


async def test_who_listens(filled: Server) -> None:
    assert [life["pid"] for life in await filled.get("who", "10.0.0.7:443")] == [812]
    assert await filled.get("programs", near="htt") == [{"name": "httpd"}]
    assert await filled.get("processes", "short-lived", machine="web1") == []


@pytest.mark.parametrize(
    ("parts", "query", "kind", "words"),
    [
        (("processes",), {"machine": "web2"}, NotFound, "no VM or host 'web2'; near: web1"),
        (("processes",), {"most": 0}, Usage, "most"),
        (("processes", "sshd"), {}, Usage, "neither a gpid"),
        (("processes", "10.0.0.7:80:5:812"), {}, NotFound, "no process is or was called"),
        (("processes", "12345678"), {}, NotFound, "no process is or was called"),
        (("who", "web1:80"), {}, Usage, "is not IP:PORT"),
        (("who", "10.0.0.9:80"), {}, NotFound, "known to listen there"),
        (("processes", "short-lived"), {"machine": "nobody"}, NotFound, "no VM or host"),
    ],
)
async def test_errors(
    filled: Server, parts: tuple[str, ...], query: dict[str, Any], kind: type[VmctlError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await filled.get(*parts, **query)


# -- the command line


@pytest.fixture
async def vmctl(filled: Server, monkeypatch: pytest.MonkeyPatch) -> Vmctl:
    loop = asyncio.get_running_loop()

    class Client:
        """The client without its socket: commands run in a thread."""

        def __init__(self, **_options: Any) -> None:
            return

        def ask(self, asked: Any) -> Any:
            path = wire.request(asked).path.removeprefix("/api/v1/")
            return asyncio.run_coroutine_threadsafe(filled.get(path), loop).result()

    monkeypatch.setattr(processes, "Client", Client)

    async def run(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, cli, words)

    return run


async def test_ps(vmctl: Vmctl) -> None:
    lines = (await vmctl("ps", "web1")).output.splitlines()
    assert lines[0].split() == ["MACHINE", "PID", "PROGRAM", "USER", "CPU", "MEMORY", "PORT", "UP", "STATE"]
    *cells, _up, state = lines[1].split()
    assert (cells, state) == (["web1", "812", "httpd", "2.4", "www", "150%", "64M", "80"], "valid")
    assert "exit seen" in (await vmctl("ps", "--history")).output and "ENDED" in (await vmctl("ps", "--history")).output
    assert "httpd -D FOREGROUND" in (await vmctl("ps", "-o", "wide")).output
    assert (await vmctl("ps", "--program", "httpd", "-o", "name")).output == f"10.0.0.7:80:{STARTED}:812\n"
    assert [row["pid"] for row in json.loads((await vmctl("ps", "-o", "json")).output)] == [812, 666]
    assert yaml.safe_load((await vmctl("ps", "-o", "yaml")).output)[0]["machine"] == "web1"
    assert "nothing was too short-lived" in (await vmctl("ps", "--short-lived")).output
    assert isinstance((await vmctl("ps", "web2")).exception, NotFound)


@pytest.mark.parametrize("words", [("ps",), ("ps", "-o", "wide"), ("ps", "--history", "-o", "wide")])
async def test_what_guests_say_is_shown_and_not_done(vmctl: Vmctl, words: tuple[str, ...]) -> None:
    said = (await vmctl(*words)).output
    assert r"[red]a\x1b[2J\u202eb\n" in said and r"r\roo\tt" in said
    assert all(c.isprintable() or c == "\n" for c in said)
    assert len(said.splitlines()) == 3 + ("--history" in words)


async def test_process_show(vmctl: Vmctl) -> None:
    said = (await vmctl("process", "show", f"10.0.0.7:80:{STARTED}:812")).output
    for part in ("no, it is valid", "150% of a core", "previous lives:", "700", "until now:", "httpd -D FOREGROUND"):
        assert part in said, part
    before = json.loads((await vmctl("ps", "--history", "-o", "json")).output)[-1]["uuid"]
    said = (await vmctl("process", "show", before[:13])).output
    assert "UTC: exit seen" in said and "before it ended:" in said and "peak 300%" in said and "█" in said
    assert "previous lives" not in said
    assert (await vmctl("process", "show", before, "-o", "name")).output == f"10.0.0.7:80:{STARTED}:700\n"
    assert json.loads((await vmctl("process", "show", before, "-o", "json")).output)["why"] == "exit seen"
    evil = json.loads((await vmctl("ps", "-o", "json")).output)[1]["uuid"]
    said = (await vmctl("process", "show", evil)).output
    assert all(c.isprintable() or c == "\n" for c in said) and r"\x1b]0;x\x07" in said
    assert isinstance((await vmctl("process", "show", "0000-0000")).exception, NotFound)


async def test_who(vmctl: Vmctl) -> None:
    assert " 812 " in (await vmctl("who", "10.0.0.7:80")).output
    assert isinstance((await vmctl("who", "10.0.0.7:80", "--at", "10 minutes ago")).exception, NotFound)
    assert (await vmctl("who", "10.0.0.7:80", "--at", "yesterday")).exit_code == 2


async def test_completion(vmctl: Vmctl) -> None:
    uuids = {row["uuid"] for row in json.loads((await vmctl("ps", "-o", "json")).output)}
    context, parameter = None, None
    offered = await asyncio.to_thread(processes._uuids, context, parameter, "")  # type: ignore[arg-type]
    assert {item.value for item in offered} == uuids
    offered = await asyncio.to_thread(processes._programs, context, parameter, "")  # type: ignore[arg-type]
    assert [item.value for item in offered] == ["httpd"], "nothing that would do something to a terminal"
