"""The servers that are measured, each a process that prints its port: python -m tests.bench.api.servers WAY FOLDER."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine, create_engine, orm
from sqlmodel import Session, col, select

from tests.hosts.test_load import BASE, later, vm
from vmctl.api import server, tls
from vmctl.api.app import make_app
from vmctl.cluster.controller import Controller
from vmctl.cluster.opening import open_controller
from vmctl.commands import users
from vmctl.local.config import ApiSettings, Settings
from vmctl.model.access import Project
from vmctl.model.hosts import HostState
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.rights import LOCAL_USER
from vmctl.model.vms import Disk, PowerState, Spec
from vmctl.store import rows
from vmctl.store.opening import open_store
from vmctl.store.tables import HostRow, TokenRow, VMRow

REGISTRY, TOKEN, BODY = "registry.db", "token", "body"
VMS, HOSTS = 20_000, 200


async def fill(folder: Path) -> None:
    """A registry of 20,000 VMs in two projects on 200 hosts, of which anna may look at one."""
    store = open_store("", folder / REGISTRY)
    await store.insert(Project("blue", 1.0))

    def write(db: orm.Session) -> None:
        for number in range(HOSTS):
            db.add(rows.to_row(HostRow, HostRecord(f"kvm{number}", f"10.0.0.{number}", "k", "f", 1.0)))
        for number in range(VMS):
            name, uuid = f"vm{number:05}", f"00000000-0000-4000-8000-{number:012}"
            spec = Spec(uuid, name, 2, 4096, (Disk("main", f"/s/{name}.qcow2"),), mac="52:54:00:00:00:00", image="tiny")
            host = f"kvm{number % HOSTS}"
            project = "blue" if number % 2 else "default"
            record = VMRecord(spec, 1.0, host=host, power=PowerState.RUNNING, project=project, owner="anna")
            db.add(rows.to_row(VMRow, record))

    await store.database.write(write)
    await store.close()


def _with_loads(controller: Controller) -> None:
    """Each host answers, and shows its VMs."""
    services = controller.services
    for number in range(HOSTS):
        name = f"kvm{number}"
        there = [f"00000000-0000-4000-8000-{vm:012}" for vm in range(number, VMS, HOSTS)]
        seen = SimpleNamespace(power=PowerState.RUNNING, net_devices=())
        link = SimpleNamespace(name=name, online=True, state=HostState.ONLINE, domains=dict.fromkeys(there, seen))
        services.links[name] = link
        first = BASE._replace(vms=tuple(vm(uuid, 1000 + n) for n, uuid in enumerate(there)))
        then = later(first, 10, 1000, 3000, *(vm(uuid, 1000 + n, ticks=200 + n) for n, uuid in enumerate(there)))
        for sample in (first, then):
            services.loads.add(link, sample)


async def ours(folder: Path) -> FastAPI:
    """vmctl's own application; it is asked by anna, who may look at project blue."""
    controller = open_controller(Settings(api=ApiSettings(requests_per_s=1e6)), folder, folder / "run")
    _with_loads(controller)
    door = controller.door
    await controller.known.refresh()
    await door.ask(users.AddUser("anna"), LOCAL_USER)
    await door.ask(users.GrantRole("anna", "viewer", "project:blue"), LOCAL_USER)
    (folder / TOKEN).write_text((await door.ask(users.CreateToken(user="anna"), LOCAL_USER)).token)
    return make_app(controller)


def bare(folder: Path) -> Any:
    """Nothing but the same bytes."""
    body = (folder / BODY).read_bytes()
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
    }

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return app


ENGINES: list[Engine] = []
SCHEME = HTTPBearer()


def session() -> Iterator[Session]:
    """One for each request."""
    with Session(ENGINES[0]) as opened:
        yield opened


Opened = Annotated[Session, Depends(session)]


def known(opened: Opened, given: Annotated[HTTPAuthorizationCredentials, Depends(SCHEME)]) -> str:
    """Whose token it is."""
    _, number, secret = given.credentials.split("_", 2)
    token = opened.get(TokenRow, number)
    if token is None or token.hash != hashlib.sha256(secret.encode()).hexdigest():
        raise HTTPException(401)
    return token.user


def list_vms(opened: Opened, _who: Annotated[str, Depends(known)], limit: int = 100) -> Any:
    """A page of the project's VMs."""
    query = select(VMRow).where(col(VMRow.project) == "blue").order_by(col(VMRow.name)).limit(limit)
    return opened.exec(query).all()


def plain(folder: Path) -> FastAPI:
    """As tutorials have it: a model of the answer, a session and a token that are depended on, a query for each."""
    ENGINES.append(create_engine(f"sqlite:///{folder / REGISTRY}"))
    app = FastAPI()
    app.add_api_route("/api/v1/vms", list_vms, response_model=list[VMRow])
    return app


def main() -> None:
    """Serve one of them over TLS."""
    way, folder = sys.argv[1], Path(sys.argv[2])

    async def serve() -> None:
        app = await ours(folder) if way == "ours" else bare(folder) if way == "bare" else plain(folder)
        files = tls.own(folder / "tls")
        with server.bound("127.0.0.1", 0) as sock:
            if way == "plain":  # as its own users start it
                pair: dict[str, Any] = {"ssl_certfile": str(files.certificate), "ssl_keyfile": str(files.key)}
                running: uvicorn.Server = uvicorn.Server(
                    uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", **pair)
                )
            else:
                running, _ = server._server(app, sock, tls.context(files))
            print(sock.getsockname()[1], flush=True)
            await running.serve(sockets=[sock])

    asyncio.run(serve())


if __name__ == "__main__":
    main()
