"""Clients that say nothing, that say it slowly, or that are too many: none of them keeps others from the controller."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from vmctl.api import connections, limits

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Where a server of a few routes listens, with little patience."""
    monkeypatch.setattr(connections, "HEAD_LIMIT_S", 0.2)
    monkeypatch.setattr(connections, "MOST", 5)
    monkeypatch.setattr(limits, "BODY_LIMIT_S", 0.2)
    app = FastAPI()
    app.add_middleware(limits.Limits)

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.6)
        return "slow"

    @app.get("/fast")
    async def fast() -> str:
        return "fast"

    @app.post("/body")
    async def body(number: int) -> int:
        return number

    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "sock"))
        server = uvicorn.Server(uvicorn.Config(app, http=connections.Patient, log_config=None, lifespan="off"))
        running = asyncio.create_task(server._serve([bound]))
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield str(tmp_path / "sock")
        server.should_exit = True
        await running


async def hear(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends, in whichever way."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            heard += piece
    return heard


async def talk(path: str, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """What a client hears until it is sent away."""
    reader, writer = await asyncio.open_unix_connection(path)
    hearing = asyncio.create_task(hear(reader))
    for piece in pieces:
        if not hearing.done():
            writer.write(piece)
            await asyncio.sleep(pause_s)
    async with asyncio.timeout(5):
        heard = await hearing
    writer.close()
    return heard


@pytest.mark.parametrize("pieces", [(), (b"G",), tuple(b"GET /fast HTTP/1.1\r\nHost: x".split(b" "))])
async def test_who_does_not_say_what_it_wants_is_sent_away(path: str, pieces: tuple[bytes, ...]) -> None:
    began = asyncio.get_running_loop().time()
    assert await talk(path, *pieces, pause_s=0.05) == b""
    assert asyncio.get_running_loop().time() - began < 1


async def test_who_drips_a_second_request_is_sent_away_too(path: str) -> None:
    drops = [GET[number : number + 1] for number in range(8)]
    began = asyncio.get_running_loop().time()
    heard = await talk(path, GET % b"fast", *drops, pause_s=0.05)
    assert heard.endswith(b'"fast"') and asyncio.get_running_loop().time() - began < 1


async def test_an_answer_may_take_longer(path: str) -> None:
    assert (await talk(path, GET % b"slow")).endswith(b'"slow"')
    assert (await talk(path, GET % b"fast", GET % b"slow")).count(b"200 OK") == 2


async def test_a_body_that_does_not_come_is_answered(path: str) -> None:
    heard = await talk(path, b"POST /body?number=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx")
    assert heard.startswith(b"HTTP/1.1 408") and b"did not arrive" in heard


async def test_one_client_too_many_is_told_so(path: str) -> None:
    others = [await asyncio.open_unix_connection(path) for _ in range(5)]
    heard = await talk(path)
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503") and json.loads(body)["exit_code"] == 3
    for reader, writer in others:
        assert await reader.read() == b"", "their time is over"
        writer.close()
    assert (await talk(path, GET % b"fast")).endswith(b'"fast"')
