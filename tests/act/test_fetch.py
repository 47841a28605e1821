"""Images from another server: a real one, that sends what it is told to."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.act.crash import Life, deaths, new_job, to_its_end
from tests.act.hosts import FakeHost
from vmctl.act.fetch import fetch
from vmctl.api import tls
from vmctl.formats.imagefile import HEAD
from vmctl.local.config import ImageSettings
from vmctl.model.records import Image, Storage
from vmctl.model.uploads import MOST_PIECE, Upload
from vmctl.ports import SYSTEM
from vmctl.services import Services
from vmctl.tasks import AnyJob

DISK = os.urandom(MOST_PIECE + HEAD // 512 * 512)
Reply = Callable[[BaseHTTPRequestHandler], None]


def file(handler: BaseHTTPRequestHandler, *, length: str = str(len(DISK)), data: bytes = DISK, **more: str) -> None:
    handler.send_response(200)
    for name, value in {"Content-Length": length, **more}.items():
        if value:
            handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def moved(to: str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return reply


class Web:
    """A server over TLS at 127.0.0.1; `pages` says what it answers."""

    def __init__(self, files: tls.Files | None) -> None:
        self.pages: dict[str, Reply] = {"/pub/disk.img": file}
        self.asked: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.asked.append(self.path)
                self.close_connection = True
                web.pages.get(self.path, lambda one: one.send_error(404))(self)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        if files is not None:
            speaks = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            speaks.load_cert_chain(files.certificate, files.key)
            self._server.socket = speaks.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "http" if files is None else "https"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path: str = "/pub/disk.img", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    tls.init(tmp_path / "tls", ["127.0.0.1", "localhost"])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls" / "ca.pem"))
    made = Web(tls.own(tmp_path / "tls"))
    yield made
    made.close()


@pytest.fixture
async def shared(services: Services, kvm1: FakeHost, kvm2: FakeHost, web: Web) -> AsyncIterator[FakeHost]:
    """A storage; images may come from /pub/ of the server, by its address."""
    await services.store.put(Storage("main", "/s", 1.0, hosts=["kvm1", "kvm2"]))
    allow(services, web.url("/pub/"))
    yield kvm1
    images = {image.path for image in await services.store.all(Image)}
    assert set(kvm1.files) == images and await services.store.all(Upload) == [], "something was left behind"


def allow(services: Services, *urls: str, most_gib: float = 1.0) -> None:
    services.settings = replace(services.settings, images=ImageSettings(allow_urls=urls, most_gib=most_gib))


async def job_of(services: Services, url: str, **more: str) -> AnyJob:
    return await new_job(services, "image fetch", "tiny", name="tiny", url=url, **more)


async def fetched(services: Services, url: str, **more: str) -> str:
    return await to_its_end(services, fetch, await job_of(services, url, **more))


async def test_a_file_becomes_an_image(services: Services, shared: FakeHost, web: Web) -> None:
    assert await fetched(services, web.url(), sha256=hashlib.sha256(DISK).hexdigest()) == "done"
    image = await services.store.get(Image, "tiny")
    assert shared.files[image.path] == DISK and image.size_bytes == len(DISK)


async def test_without_a_checksum_what_came_is_shown(services: Services, shared: FakeHost, web: Web) -> None:
    result = await fetch(services, await job_of(services, web.url()))
    assert (result["sha256"]["file"], result["checked"]) == (hashlib.sha256(DISK).hexdigest(), [])


async def test_another_checksum_is_refused(services: Services, shared: FakeHost, web: Web) -> None:
    assert "is not what was said" in await fetched(services, web.url(), sha256="0" * 64)


async def test_a_redirect_is_followed_to_where_the_list_leads(services: Services, shared: FakeHost, web: Web) -> None:
    web.pages["/pub/latest"] = moved("/pub/disk.img?token=s3cret")
    web.pages["/pub/disk.img?token=s3cret"] = file
    job = await job_of(services, web.url("/pub/latest"))
    assert await to_its_end(services, fetch, job) == "done"
    assert "s3cret" not in repr(job.log) and "sent on to" in repr(job.log)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("/private/disk.img", "nothing may be fetched from"),
        ("https://169.254.169.254/latest/meta-data", "nothing may be fetched from"),
        ("http://127.0.0.1:PORT/pub/disk.img", "nothing may be fetched from"),
        ("https://localhost:PORT/pub/disk.img", "leads to an address"),
        ("file:///etc/shadow", "no URL that begins with https"),
        ("http://[::1/", "what is no URL"),
        ("", "leads on more than 3 times"),
    ],
)
async def test_a_redirect_to_anywhere_else_is_not(
    services: Services, shared: FakeHost, web: Web, to: str, why: str
) -> None:
    """The name is on the list, and leads inside: the list names no address there."""
    allow(services, web.url("/pub/"), web.url("/pub/", host="localhost"))
    web.pages["/pub/latest"] = moved(to.replace("PORT", str(web.port)) or "/pub/latest")
    assert why in await fetched(services, web.url("/pub/latest"))
    assert set(web.asked) == {"/pub/latest"}, "nobody there was asked"


async def test_a_name_that_leads_inside_is_not_asked(services: Services, shared: FakeHost, web: Web) -> None:
    allow(services, web.url("/pub/", host="localhost"))
    assert "leads to an address" in await fetched(services, web.url(host="localhost"))
    assert web.asked == []


async def test_a_certificate_that_nobody_trusts_is_not_believed(
    services: Services, shared: FakeHost, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    assert "is not trusted" in await fetched(services, web.url()) and web.asked == []


async def test_plain_http_is_taken_where_the_list_says_so(services: Services, shared: FakeHost) -> None:
    plain = Web(None)
    try:
        allow(services, plain.url("/pub/").replace("http:", "https:"))
        assert "nothing may be fetched" in await fetched(services, plain.url())
        allow(services, plain.url("/pub/"))
        assert await fetched(services, plain.url()) == "done"
    finally:
        plain.close()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"length": ""}, "does not say how large"),
        ({"length": "0", "data": b""}, "is empty"),
        ({"Content_Encoding": "gzip"}, "sends /pub/disk.img packed"),
        ({"length": str(1 << 40), "data": b""}, "more than an image may have here: 1 GiB"),
        ({"data": DISK[:MOST_PIECE]}, "ended before the file was whole"),
        ({"data": b"<html>" + bytes(HEAD) + DISK[HEAD + 6 :]}, "is a web page"),
    ],
)
async def test_what_is_no_whole_file_is_refused(
    services: Services, shared: FakeHost, web: Web, more: dict[str, str], why: str
) -> None:
    if "<html>" in repr(more):
        more["data"] = b"<html>" + b" " * len(DISK[6:])  # type: ignore[assignment]
    web.pages["/pub/disk.img"] = lambda handler: file(handler, **more)  # type: ignore[arg-type]
    assert why in await fetched(services, web.url())


async def test_what_is_not_there_is_said(services: Services, shared: FakeHost, web: Web) -> None:
    assert "the server answers 404" in await fetched(services, web.url("/pub/nosuch"))


async def test_one_that_is_cancelled_leaves_nothing(services: Services, shared: FakeHost, web: Web) -> None:
    job = await job_of(services, web.url())
    release = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        file(handler, data=DISK[:MOST_PIECE])
        release.wait(30)
        handler.wfile.write(DISK[MOST_PIECE:])

    web.pages["/pub/disk.img"] = slow
    running = asyncio.create_task(to_its_end(services, fetch, job))
    while "percent" not in job.progress:
        assert not running.done()
        await asyncio.sleep(0.01)
    job.cancel_asked.set()
    release.set()
    assert "was cancelled" in await running


def slow_head(asked: threading.Event, ended: threading.Event) -> Reply:
    """An answer that never begins, though something always comes."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        try:
            while not ended.is_set():
                handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                ended.wait(0.01)
        except OSError:
            ended.set()  # nobody listens any more

    return reply


async def _begun(services: Services, web: Web, ended: threading.Event) -> tuple[AnyJob, asyncio.Task[str]]:
    asked = threading.Event()
    web.pages["/pub/disk.img"] = slow_head(asked, ended)
    job = await job_of(services, web.url())
    running = asyncio.create_task(to_its_end(services, fetch, job))
    await asyncio.to_thread(asked.wait)
    return job, running


async def test_one_whose_answer_never_begins_is_cancelled(services: Services, shared: FakeHost, web: Web) -> None:
    ended = threading.Event()
    job, running = await _begun(services, web, ended)
    job.cancel_asked.set()
    assert "cancelled" in (await running)
    assert await asyncio.to_thread(ended.wait), "the connection is gone, too"


async def test_one_whose_answer_never_begins_is_given_up(
    services: Services, shared: FakeHost, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmctl.act.fetch.HEAD_S", 1.0)
    ended = threading.Event()
    _, running = await _begun(services, web, ended)
    assert "too slow" in (await running)


async def test_a_controller_that_ends_waits_for_no_server(services: Services, shared: FakeHost, web: Web) -> None:
    ended = threading.Event()
    _, running = await _begun(services, web, ended)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled() and await asyncio.to_thread(ended.wait)


async def test_what_a_server_says_of_itself_is_cut_and_quoted(services: Services, shared: FakeHost, web: Web) -> None:
    def chatter(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\x1b[2J\x07" + b"A" * 60_000 + b"\r\n\r\n")

    web.pages["/pub/disk.img"] = chatter
    why = await fetched(services, web.url())
    assert "\x1b" not in why and len(why) < 300, why


async def test_whoever_waits_for_others_keeps_no_thread_from_work() -> None:
    go_on = threading.Event()
    waiting = [asyncio.create_task(SYSTEM.threads.wait(go_on.wait)) for _ in range(50)]
    assert await SYSTEM.threads.run(len, "log-in") == 6
    go_on.set()
    assert all(await asyncio.gather(*waiting))


async def test_a_controller_that_dies_in_a_fetch(services: Services, shared: FakeHost, web: Web, life: Life) -> None:
    """The next one takes away what is there and begins anew."""

    async def ready() -> AnyJob:
        for image in await services.store.all(Image):
            await services.store.take_image(image.name)
            del shared.files[image.path]
        return await job_of(services, web.url())

    steps = 0
    async for step, outcome in deaths(life, services, fetch, ready):
        assert outcome == "done", step
        steps += 1
    assert steps > 8
