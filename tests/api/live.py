"""A controller that serves clients from elsewhere, over real TLS on a real socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from vmctl.api import server as serving
from vmctl.api import tls
from vmctl.api.app import make_app
from vmctl.cluster.controller import Controller
from vmctl.cluster.opening import open_controller
from vmctl.commands import users
from vmctl.local.config import ApiSettings, Settings
from vmctl.model.rights import LOCAL_USER

START_S = 120.0  # a busy machine is no reason to fail


def bearer(token: str) -> dict[str, str]:
    """The header that says who asks."""
    return {"Authorization": f"Bearer {token}"}


class Live:
    """It, served by a thread; anna may look at everything."""

    def __init__(self, controller: Controller, folder: Path, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.controller, self.folder, self.port, self._loop = controller, folder, port, loop
        self.ca_file = folder / "tls" / "ca.pem"
        self.ca = ssl.create_default_context(cafile=str(self.ca_file))
        self.again: Callable[[], None] = lambda: None  # SIGHUP

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Something of the controller's, done in its own thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    def ask(self, asked: Any) -> Any:
        """Something that the local user asks for."""
        return self.do(self.controller.door.ask(asked, LOCAL_USER))

    def get(self, path: str, token: str = "", **more: Any) -> httpx.Response:
        """What a client gets."""
        headers = bearer(token) if token else {}
        return httpx.get(f"https://127.0.0.1:{self.port}/api/v1/{path}", verify=self.ca, headers=headers, **more)

    def token(self, user: str = "anna") -> str:
        """A new one."""
        return str(self.ask(users.CreateToken(user=user)).token)


@contextmanager
def served(folder: Path, registry: Path, requests_per_s: float = 20.0) -> Iterator[Live]:
    """One at 127.0.0.1, with a CA of its own in folder/tls."""
    (folder / "registry.db").write_bytes(registry.read_bytes())
    tls.init(folder / "tls", ["127.0.0.1", "localhost"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ready: list[Live] = []
    server: list[Any] = []

    async def main() -> None:
        settings = Settings(api=ApiSettings(requests_per_s=requests_per_s))
        controller = open_controller(settings, folder, folder / "run")
        app = make_app(controller)
        elsewhere = serving.Elsewhere("127.0.0.1", port, tls.own(folder / "tls"))
        async with app.router.lifespan_context(app):
            await controller.door.ask(users.AddUser("anna"), LOCAL_USER)
            await controller.door.ask(users.GrantRole("anna", "viewer", "all"), LOCAL_USER)
            with serving.bound(elsewhere.host, elsewhere.port) as sock:
                one, _ = serving._server(app, sock, tls.context(elsewhere.files))
                server.append(one)
                serve = asyncio.create_task(one.serve(sockets=[sock]))
                while not one.started:  # noqa: ASYNC110 - the library tells nobody
                    await asyncio.sleep(0.01)
                live = Live(controller, folder, port, asyncio.get_running_loop())
                live.again = lambda: serving._again(one.config.ssl, elsewhere)
                ready.append(live)
                await serve

    # a daemon: one that does not end fails its test, and must not keep the tests' process alive besides
    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    deadline = time.monotonic() + START_S
    while not ready and time.monotonic() < deadline and thread.is_alive():
        time.sleep(0.02)
    assert ready, "it serves"
    try:
        yield ready[0]
    finally:
        for one in server:
            loop = ready[0]._loop
            for connection in list(one.server_state.connections):  # whose client has gone without a word
                loop.call_soon_threadsafe(connection.transport.abort)
            one.should_exit = True
        thread.join(START_S)
        assert not thread.is_alive(), "it ends"
