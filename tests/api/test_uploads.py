"""Pieces over the API: who may send them, how large they are, how long they may take."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.act.hosts import FakeHost
from tests.api.conftest import Server
from tests.api.live import bearer
from tests.api.peers import ELSEWHERE, by
from vmctl.api import bodies, limits
from vmctl.api.app import make_app
from vmctl.commands import users
from vmctl.door import receiving
from vmctl.model.audit import Entry
from vmctl.model.records import Image, Storage
from vmctl.model.rights import LOCAL_USER
from vmctl.model.uploads import MOST_PIECE, Upload

DISK = os.urandom(2 * MOST_PIECE + 512)


@pytest.fixture
async def host(server: Server) -> FakeHost:
    made = FakeHost("kvm1")
    server.controller.services.links["kvm1"] = made  # type: ignore[assignment]
    await server.controller.services.store.put(Storage("main", "/s", 1.0, hosts=["kvm1"]))
    return made


async def begun(server: Server, **more: Any) -> str:
    body = {"name": "tiny", "size_bytes": len(DISK), "sha256": hashlib.sha256(DISK).hexdigest(), **more}
    answer = await server.ask("POST", "images/uploads", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def sent(server: Server, key: str, at: int, data: bytes, **more: Any) -> httpx.Response:
    return await server.ask("PUT", f"images/uploads/{key}/file/{at}", content=data, **more)


async def test_an_image_comes_in_pieces(server: Server, host: FakeHost) -> None:
    key = await begun(server)
    for at in range(0, len(DISK), MOST_PIECE):
        answer = await sent(server, key, at, DISK[at : at + MOST_PIECE])
        assert answer.status_code == 200, answer.text
    [shown] = (await server.ask("GET", "images/uploads")).json()
    [part] = shown["parts"]
    assert (part["offset"], shown["state"], shown["pending"]) == (len(DISK), "open", None)
    assert "/s/" not in str(shown), "where its files lie is nobody's business"
    task = (await server.ask("POST", f"images/uploads/{key}/finish")).json()
    await server.controller.tasks.wait(task["id"])
    image = await server.controller.services.store.get(Image, "tiny")
    assert host.files[image.path] == DISK
    assert (await server.ask("GET", f"images/uploads/{key}")).status_code == 404


async def test_begin_and_end_are_audited_and_a_piece_is_not(server: Server, host: FakeHost) -> None:
    key = await begun(server)
    await sent(server, key, 0, DISK[:MOST_PIECE])
    task = (await server.ask("DELETE", f"images/uploads/{key}")).json()
    await server.controller.tasks.wait(task["id"])
    entries: list[Entry] = [kept.entry for kept in await server.controller.services.store.chain(0, 100)]
    assert [(one.what, one.outcome) for one in entries if one.what.startswith("image")] == [
        ("image upload", "accepted"),
        ("image upload", "done"),
        ("image drop", "accepted"),
        ("image drop", "done"),
    ]
    assert host.files == {}


@pytest.mark.parametrize("size", [MOST_PIECE + 1, 3 * MOST_PIECE])
@pytest.mark.parametrize("is_told", [True, False])
async def test_a_piece_has_a_largest_size(server: Server, host: FakeHost, size: int, is_told: bool) -> None:
    key = await begun(server)

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, size, 1 << 16):
            yield bytes(min(1 << 16, size - at))

    content: Any = bytes(size) if is_told else chunks()
    answer = await sent(server, key, 0, content)
    assert answer.status_code in (413, 422) and "too large: at most 8 MiB" in answer.text
    assert "upload" not in host.done


async def test_everything_else_keeps_its_limit(server: Server) -> None:
    for method, path in (("POST", "images/uploads"), ("PUT", "vms/x/autostart"), ("POST", "images/uploads/x/finish")):
        answer = await server.ask(method, path, content=bytes(limits.MOST_BODY + 1))
        assert answer.status_code == 413, (method, path, answer.text)


async def test_a_piece_that_does_not_come_is_given_up(
    server: Server, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PIECE_LIMIT_S", 0.05)
    monkeypatch.setattr(limits, "BODY_LIMIT_S", 0.05)
    key = await begun(server)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(3600)

    answer = await sent(server, key, 0, slow())  # type: ignore[arg-type]
    assert answer.status_code == 422 and "did not arrive within" in answer.text


async def test_who_may_not_send_it_is_told_so_before_it_is_read(
    server: Server, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has no token, and whose project it is not, costs no memory."""

    async def never(_http: Any) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr(bodies, "received", never)
    door = server.controller.door
    for project in ("blue", "red"):
        await door.ask(users.AddProject(project), LOCAL_USER)
    await door.ask(users.AddUser("anna"), LOCAL_USER)
    await door.ask(users.GrantRole("anna", "creator", "project:blue"), LOCAL_USER)
    token = (await door.ask(users.CreateToken(user="anna"), LOCAL_USER)).token
    key = await begun(server, project="red")
    transport = httpx.ASGITransport(by(ELSEWHERE, make_app(server.controller)))
    async with httpx.AsyncClient(transport=transport, base_url="https://vmctl/api/v1") as http:
        for headers, status in (({}, 401), (bearer(str(token)), 404)):
            answer = await http.put(f"images/uploads/{key}/file/0", content=DISK[:MOST_PIECE], headers=headers)
            assert answer.status_code == status
        listed = await http.get("images/uploads", headers=bearer(str(token)))
        assert listed.json() == []


async def test_nobody_fills_the_memory_with_pieces(server: Server, host: FakeHost) -> None:
    key = await begun(server)
    with server.controller.door._parts.pieces.one_more("local user"):
        assert (await sent(server, key, 0, DISK[:MOST_PIECE])).status_code == 200
        held = [server.controller.door._parts.pieces.one_more("local user") for _ in range(receiving.MOST_OF_ONE - 1)]
        for one in held:
            one.__enter__()
        answer = await sent(server, key, MOST_PIECE, DISK[MOST_PIECE : 2 * MOST_PIECE])
        assert answer.status_code == 429 and "in a moment" in answer.text
        for one in held:
            one.__exit__(None, None, None)
    assert (await sent(server, key, MOST_PIECE, DISK[MOST_PIECE : 2 * MOST_PIECE])).status_code == 200


@pytest.mark.parametrize("path", ["nosuch/file/0", "KEY/disk/0", "KEY/file/-1", "KEY/file/x", "KEY/file/0?a=b"])
async def test_what_is_no_place_of_it_is_refused(server: Server, host: FakeHost, path: str) -> None:
    key = await begun(server)
    answer = await server.ask("PUT", f"images/uploads/{path.replace('KEY', key)}", content=b"x")
    assert answer.status_code in (404, 422), answer.text


@pytest.mark.parametrize(
    "more", [{"size_bytes": 0}, {"sha256": "x"}, {"kind": "vmdk"}, {"initrd_bytes": 5}, {"cmdline": "quiet"}, {"x": 1}]
)
async def test_what_is_no_upload_is_refused(server: Server, host: FakeHost, more: dict[str, Any]) -> None:
    body = {"name": "tiny", "size_bytes": 512, **more}
    assert (await server.ask("POST", "images/uploads", json=body)).status_code == 422
    assert await server.controller.services.store.all(Upload) == []


async def test_a_path_of_the_controllers_disk_is_in_no_request_of_uploads(server: Server, tmp_path: Path) -> None:
    body = {"name": "tiny", "size_bytes": 512, "file": str(tmp_path)}
    assert (await server.ask("POST", "images/uploads", json=body)).status_code == 422
