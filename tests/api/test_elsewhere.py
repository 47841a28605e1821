"""From elsewhere: TLS on a real socket, tokens, log-ins, and what somebody without a right tries.

The lines of the security checklist that are tested here: S1, S2, S3 (mass assignment), S4, S5, S6.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import argon2
import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.api.conftest import Server
from tests.api.live import Live, bearer, served
from tests.api.peers import ELSEWHERE, by
from vmctl.api import tls
from vmctl.api.app import make_app
from vmctl.commands import catalogue, tasks, users
from vmctl.door import held
from vmctl.errors import NotAllowed, NotFound, NotLoggedIn, Refused, RegistryUnusable, Usage
from vmctl.model.records import Task, VMRecord
from vmctl.model.rights import LOCAL_USER, Principal
from vmctl.model.vms import Spec
from vmctl.services import known

UUID = "11111111-2222-4333-8444-555555555555"
GOOD = "correct horse battery"


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password's hash that takes no time."""
    monkeypatch.setattr(known, "HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    known._nobodys.cache_clear()


@pytest.fixture
async def elsewhere(server: Server, cheap: None) -> AsyncIterator[httpx.AsyncClient]:
    """A client that is no local one; anna may create in blue, and there is a VM of hers and one of somebody else's."""
    door, store = server.controller.door, server.controller.services.store
    for project in ("blue", "red"):
        await door.ask(users.AddProject(project), LOCAL_USER)
    await store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0, project="blue"))
    await store.add_vm(VMRecord(Spec(UUID.replace("1", "2"), "db1", 1, 64), 1.0, project="red"))
    await door.ask(users.AddUser("anna", GOOD), LOCAL_USER)
    await door.ask(users.GrantRole("anna", "creator", "project:blue"), LOCAL_USER)
    app = make_app(server.controller)
    transport = httpx.ASGITransport(by(ELSEWHERE, app))
    async with httpx.AsyncClient(transport=transport, base_url="https://vmctl") as http:
        yield http


async def token(server: Server, *, owner: str = "anna", **more: Any) -> str:
    made = await server.controller.door.ask(users.CreateToken(user=owner, **more), LOCAL_USER)
    return str(made.token)


async def test_s1_every_route_is_closed_without_a_token(elsewhere: httpx.AsyncClient) -> None:
    document = (await elsewhere.get("/openapi.json")).json()
    tried = 0
    for path, methods in document["paths"].items():
        for method in methods:
            where = re.sub(r"\{\w+\}", "1", path)
            answer = await elsewhere.request(method, where)
            if path == "/api/v1/login":
                assert answer.status_code == 422
                continue
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["code"] == "NotLoggedIn"
            tried += 1
    assert tried == len([row for row in catalogue.ROWS if row.way]) + 1, "and the feed"


@pytest.mark.parametrize("given", ["", "x", "Basic YTpi", "Bearer", "Bearer ", f"Bearer vmctl_{'0' * 12}_{'A' * 43}"])
async def test_s1_what_is_no_token_opens_nothing(elsewhere: httpx.AsyncClient, given: str) -> None:
    answer = await elsewhere.get("/api/v1/vms", headers={"Authorization": given} if given else {})
    assert answer.status_code == 401


async def test_s2_a_token_is_shown_once_kept_as_a_hash_and_ends(server: Server, elsewhere: httpx.AsyncClient) -> None:
    secret = await token(server, expires_s=60.0)
    found = known.TOKEN.fullmatch(secret)
    assert found is not None and len(found[2]) == 43, "256 bits"
    [kept] = server.controller.known.access.tokens.values()
    assert found[2] not in repr(kept) and len(kept.hash) == 64
    assert secret not in repr(await server.controller.door.ask(users.ListTokens(), LOCAL_USER))
    assert [vm["name"] for vm in (await elsewhere.get("/api/v1/vms", headers=bearer(secret))).json()] == ["web1"]
    other = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    assert (await elsewhere.get("/api/v1/vms", headers=bearer(other))).status_code == 401
    await server.controller.door.ask(users.RevokeToken(kept.id), LOCAL_USER)
    assert (await elsewhere.get("/api/v1/vms", headers=bearer(secret))).status_code == 401


async def test_s2_a_token_expires(
    server: Server, elsewhere: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await token(server, expires_s=60.0)
    now = time.time()
    monkeypatch.setattr(server.controller.known, "_now", lambda: now + 61.0)
    assert (await elsewhere.get("/api/v1/vms", headers=bearer(secret))).status_code == 401


async def test_who_is_disabled_is_out_at_once_and_who_is_removed_for_good(
    server: Server, elsewhere: httpx.AsyncClient
) -> None:
    secret, door = await token(server), server.controller.door
    await door.ask(users.DisableUser("anna"), LOCAL_USER)
    assert (await elsewhere.get("/api/v1/whoami", headers=bearer(secret))).status_code == 401
    await door.ask(users.DisableUser("anna", enable=True), LOCAL_USER)
    assert (await elsewhere.get("/api/v1/whoami", headers=bearer(secret))).json()["name"] == "anna"
    await door.ask(users.RemoveUser("anna"), LOCAL_USER)
    await door.ask(users.AddUser("anna"), LOCAL_USER)
    assert (await elsewhere.get("/api/v1/whoami", headers=bearer(secret))).status_code == 401
    again = await token(server)
    assert (await elsewhere.get("/api/v1/vms", headers=bearer(again))).json() == [], "another anna, who has no grant"


async def test_one_logs_in_by_a_password(server: Server, elsewhere: httpx.AsyncClient) -> None:
    made = (await elsewhere.post("/api/v1/login", json={"user": "anna", "password": GOOD})).json()
    assert (await elsewhere.get("/api/v1/whoami", headers=bearer(made["token"]))).json()["name"] == "anna"
    await server.controller.door.ask(users.SetPassword("anna", "another one"), LOCAL_USER)
    assert (await elsewhere.get("/api/v1/whoami", headers=bearer(made["token"]))).status_code == 401


async def test_s5_log_ins_that_fail_are_counted_in_the_registry(server: Server, elsewhere: httpx.AsyncClient) -> None:
    """No word says whether it was the name or the password; after five of a minute nobody from there is heard."""
    said = set()
    for user in ("anna", "nobody", "anna", "nobody", "anna"):
        answer = await elsewhere.post("/api/v1/login", json={"user": user, "password": "wrong one"})
        assert answer.status_code == 401
        said.add(answer.json()["detail"])
    assert len(said) == 1
    answer = await elsewhere.post("/api/v1/login", json={"user": "anna", "password": GOOD})
    assert answer.status_code == 429 and "try again in" in answer.json()["hint"]
    store, now = server.controller.services.store, server.controller.services.clock.now()
    assert await store.failures(["from/192.0.2.7"], now) > 50
    assert await store.failures(["from/192.0.2.8", "user/anna"], now) == 0, "from elsewhere anna may log in"
    assert await store.failures(["from/192.0.2.7"], now + 61) == 0


async def test_s5_one_token_may_not_ask_all_the_time(server: Server, elsewhere: httpx.AsyncClient) -> None:
    one, other = bearer(await token(server)), bearer(await token(server))
    codes = [(await elsewhere.get("/api/v1/whoami", headers=one)).status_code for _ in range(130)]
    assert codes[:100] == [200] * 100 and 429 in codes[100:]
    answer = await elsewhere.get("/api/v1/whoami", headers=one)
    while answer.status_code == 200:
        answer = await elsewhere.get("/api/v1/whoami", headers=one)
    assert "ask again in" in answer.json()["hint"]
    assert (await elsewhere.get("/api/v1/whoami", headers=other)).status_code == 200, "each by itself"


async def test_a_user_without_a_password_cannot_log_in(server: Server, elsewhere: httpx.AsyncClient) -> None:
    await server.controller.door.ask(users.AddUser("ben"), LOCAL_USER)
    answer = await elsewhere.post("/api/v1/login", json={"user": "ben", "password": ""})
    assert answer.status_code == 401


# -- somebody who tries


async def test_the_attacker_with_a_narrow_token(server: Server, elsewhere: httpx.AsyncClient) -> None:
    narrow = bearer(await token(server, role="viewer", on="project:blue"))
    for method, path, body in (
        ("POST", "vms/web1/stop", {}),
        ("DELETE", "vms/web1", None),
        ("POST", "tokens", {}),  # a wider one
        ("POST", "tokens", {"user": "carl"}),
        ("POST", "users", {"name": "eve"}),
        ("POST", "grants", {"who": "anna", "role": "admin", "on": "all"}),
        ("POST", "roles", {"name": "all", "permissions": ["hosts"]}),
        ("PUT", "users/anna/password", {"password": "mine, all mine"}),
        ("PUT", "vms/web1/project", {"project": "red"}),
        ("GET", "users", None),
        ("GET", "hosts", None),
        ("GET", "dump", None),
    ):
        answer = await elsewhere.request(method, f"/api/v1/{path}", json=body, headers=narrow)
        assert answer.status_code in (403, 404), (method, path, answer.status_code, answer.text)
    for path in ("vms/db1", f"vms/{UUID.replace('1', '2')}", "vms/db1/why", "history/vm/db1", "tasks/99"):
        assert (await elsewhere.get(f"/api/v1/{path}", headers=narrow)).status_code == 404, path
    assert (await elsewhere.get("/api/v1/vms", headers=narrow)).status_code == 200
    assert await server.controller.services.store.all(Task) == []


async def test_s3_no_field_that_is_not_asked_for_is_taken(server: Server, elsewhere: httpx.AsyncClient) -> None:
    anna = bearer(await token(server))
    body = {"name": "x", "image": "tiny", "mem_mib": 64, "project": "blue"}
    for more in ({"owner": "root"}, {"task": 1}, {"uuid": UUID}, {"host_key": "x"}, {"who": "root"}):
        answer = await elsewhere.post("/api/v1/vms", json=body | more, headers=anna)
        assert answer.status_code == 422 and "is not known here" in answer.text


async def test_whoever_manages_users_gives_no_more_than_he_has(server: Server) -> None:
    door = server.controller.door
    await door.ask(users.AddRole("manager", ["users", "look"]), LOCAL_USER)
    await door.ask(users.AddUser("mia"), LOCAL_USER)
    await door.ask(users.GrantRole("mia", "manager", "all"), LOCAL_USER)
    mia = server.controller.known.by_token(await token(server, owner="mia"))
    assert mia is not None
    await door.ask(users.GrantRole("mia", "viewer", "all"), mia)
    for role in ("admin", "operator", "creator"):
        with pytest.raises(NotAllowed, match="and so cannot give it"):
            await door.ask(users.GrantRole("mia", role, "all"), mia)
    with pytest.raises(NotAllowed, match="and so cannot give it"):
        await door.ask(users.AddRole("more", ["hosts"]), mia)
    # Nor may she become somebody who has more: by his token, his password, or a group.
    await door.ask(users.AddUser("root"), LOCAL_USER)
    await door.ask(users.AddGroup("admins", ["root"]), LOCAL_USER)
    await door.ask(users.GrantRole("group:admins", "admin", "all"), LOCAL_USER)
    for asked in (
        users.CreateToken(user="root"),
        users.CreateToken(user="root", role="viewer"),
        users.SetPassword("root", "of mia's choice"),
        users.SetMembers("admins", ["mia"]),
    ):
        with pytest.raises(NotAllowed, match="and so cannot give it"):
            await door.ask(asked, mia)
    assert server.controller.known.access.groups["admins"].members == ["root"]
    await door.ask(users.SetMembers("admins", remove=["root"]), mia)
    await door.ask(users.CreateToken(user="root"), mia)  # he has nothing any more


async def test_names_of_what_is_missing_are_told(server: Server, cheap: None) -> None:
    door = server.controller.door
    for asked, words in (
        (users.GrantRole("nosuch", "viewer", "all"), "no user 'nosuch'"),
        (users.GrantRole("group:nosuch", "viewer", "all"), "no group 'nosuch'"),
        (users.RemoveUser("nosuch"), "no user 'nosuch'"),
        (users.RemoveProject("nosuch"), "no project 'nosuch'"),
        (users.RemoveRole("nosuch"), "no role 'nosuch'"),
        (users.RevokeToken("nosuch"), "no token 'nosuch'"),
        (users.CreateToken(user="nosuch"), "no user 'nosuch'"),
        (users.Can("nosuch", "look"), "no user 'nosuch'"),
        (users.AddGroup("g", ["nosuch"]), "no user 'nosuch'"),
    ):
        with pytest.raises(NotFound, match=words):
            await door.ask(asked, LOCAL_USER)
    await door.ask(users.AddUser("anna"), LOCAL_USER)
    for wrong in (
        users.AddUser("short", "seven c"),
        users.GrantRole("anna", "viewer", "planet:mars"),
        users.Can("anna", "fly"),
        users.AddRole("r", ["fly"]),
        users.CreateToken(user="anna", on="all"),
    ):
        with pytest.raises(Usage):
            await door.ask(wrong, LOCAL_USER)
    with pytest.raises(NotFound, match="no role 'nosuch'"):
        await door.ask(users.GrantRole("anna", "nosuch", "all"), LOCAL_USER)
    await door.ask(users.GrantRole("anna", "viewer", "all"), LOCAL_USER)
    with pytest.raises(Refused, match="already"):
        await door.ask(users.GrantRole("anna", "viewer", "all"), LOCAL_USER)
    for own in (users.RemoveRole("viewer"), users.AddRole("viewer", ["look"]), users.RemoveProject("default")):
        with pytest.raises(Refused):
            await door.ask(own, LOCAL_USER)


async def test_a_project_with_something_in_it_stays(server: Server, elsewhere: httpx.AsyncClient) -> None:
    door = server.controller.door
    with pytest.raises(Refused, match="web1 belong"):
        await door.ask(users.RemoveProject("blue"), LOCAL_USER)
    await door.ask(users.MoveToProject("web1", "red"), LOCAL_USER)
    assert (await server.controller.services.store.vm("web1")).project == "red"
    await door.ask(users.RemoveProject("blue"), LOCAL_USER)
    assert server.controller.known.access.grants == (), "what was granted on it is gone with it"


async def test_s6_what_breaks_says_nothing_of_this_machine(
    server: Server, elsewhere: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, door = bearer(await token(server)), server.controller.door
    place = "/root/secret/place"
    for err in (OSError(place), RegistryUnusable(f"the registry {place}")):

        async def broken(*_: Any, err: Exception = err) -> Any:
            raise err

        monkeypatch.setattr(door, "ask", broken)
        answer = await elsewhere.get("/api/v1/vms", headers=anna)
        assert answer.status_code >= 500 and place not in answer.text and answer.json()["detail"]
        assert place in (await server.ask("GET", "vms")).text, "its own user is told"
    monkeypatch.undo()
    server.controller.services.store.trouble = "the registry /root/secret/place is full"
    answer = await elsewhere.get("/api/v1/whoami", headers=anna)
    assert "takes%20nothing" in answer.headers["x-vmctl-warning"] and "root" not in answer.headers["x-vmctl-warning"]
    assert "x-vmctl-warning" not in (await elsewhere.get("/api/v1/whoami")).headers
    for page in ("/docs", "/redoc"):
        assert (await elsewhere.get(page)).status_code == 404
    assert (await elsewhere.get("/healthz")).json() == {"alive": True}
    assert (await elsewhere.get("/readyz")).status_code == 503
    server.controller.services.store.trouble = ""
    assert (await elsewhere.get("/readyz")).json() == {"ready": True}


# -- what stays open


async def test_s2_a_stream_ends_within_a_second_of_its_token(
    server: Server, elsewhere: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = server.controller.known.by_token(await token(server))
    assert who is not None
    number = await server.controller.services.store.add(Task(0, "stop", "web1", 1.0, project="blue", vm=UUID))

    async def endless(_number: int) -> AsyncIterator[str]:
        while True:
            yield "on"
            await asyncio.sleep(30)

    monkeypatch.setattr(server.controller.tasks, "follow", endless)
    stream = await server.controller.door.ask(tasks.FollowTask(number), who)

    async def read() -> None:
        async for _ in stream:
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await server.controller.door.ask(users.RevokeToken(who.token), LOCAL_USER)
    with pytest.raises(NotLoggedIn):
        await reading
    assert time.monotonic() - began < 1.0


async def test_a_stream_without_the_registry_ends_early_and_breaks_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = await server.controller.services.store.add(Task(0, "stop", "web1", 1.0, project="blue", vm=UUID))

    async def cut(_number: int) -> AsyncIterator[str]:
        yield "on"
        raise RegistryUnusable("it does not answer in time")

    monkeypatch.setattr(server.controller.tasks, "follow", cut)
    answer = await server.ask("GET", f"tasks/{number}/follow")
    assert (answer.status_code, answer.text) == (200, '"on"\n')
    assert "what was followed ends: it does not answer in time" in caplog.text and "Traceback" not in caplog.text


async def test_s2_a_console_ends_within_a_second_of_its_token(server: Server, elsewhere: httpx.AsyncClient) -> None:
    who = server.controller.known.by_token(await token(server))
    assert who is not None
    ended: list[str] = []

    async def never(*_: Any, **__: Any) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")

    server.controller.door._consoles.open = never  # type: ignore[method-assign]
    opened = asyncio.create_task(server.controller.door.console("web1", who, "", None, force=False))  # type: ignore[arg-type]
    await asyncio.sleep(0.1)
    await server.controller.door.ask(users.RevokeToken(who.token), LOCAL_USER)
    assert (await asyncio.wait_for(opened, 1.5))[1] == held.WHY
    await asyncio.sleep(0)
    assert ended == ["ended"]


async def test_a_console_needs_its_permission(server: Server, elsewhere: httpx.AsyncClient) -> None:
    viewer = server.controller.known.by_token(await token(server, role="viewer", on="project:blue"))
    assert viewer is not None
    with pytest.raises(NotAllowed, match=r"vm\.console"):
        await server.controller.door.console("web1", viewer, "", None, force=False)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        await server.controller.door.console("db1", viewer, "", None, force=False)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        await server.controller.door.console("web1", Principal("nobody"), "", None, force=False)  # type: ignore[arg-type]


# -- over a real socket


@pytest.fixture
def live(tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """A controller that serves over TLS."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with served(tmp_path, empty_registry) as found:
        yield found


def test_s4_it_is_tls_and_nothing_older_than_1_2(live: Live) -> None:
    secret = live.token()
    assert live.get("whoami", secret).json()["name"] == "anna"
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{live.port}/api/v1/whoami", headers=bearer(secret))
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://127.0.0.1:{live.port}/api/v1/whoami")
    assert tls.context(tls.own(live.folder / "tls")).minimum_version is ssl.TLSVersion.TLSv1_2
    for version, taken in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        said = subprocess.run(
            ["openssl", "s_client", version, "-cipher", "ALL:@SECLEVEL=0", "-connect", f"127.0.0.1:{live.port}"],
            input="",
            capture_output=True,
            text=True,
        )
        assert ("Cipher is (NONE)" not in said.stdout) == taken, version


def test_s4_no_secret_is_in_any_log_or_answer(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """A hundred canaries: right ones, wrong ones, in headers, bodies and where they do not belong."""
    caplog.set_level(logging.DEBUG)
    canaries = [live.token() for _ in range(20)]
    canaries += [f"vmctl_{number:012x}_{'Canary' * 7}x" for number in range(40)]
    canaries += [f"canary-password-{number}" for number in range(40)]
    said = ""
    with httpx.Client(verify=live.ca, base_url=f"https://127.0.0.1:{live.port}/api/v1/") as client:
        for canary in canaries[:60]:
            said += client.get("whoami", headers=bearer(canary)).text
        for number, canary in enumerate(canaries[60:]):
            said += client.post("login", json={"user": f"u{number}", "password": canary}).text
            said += client.post("login", json={"user": "u", "password": [canary]}).text
    told = said + caplog.text + repr(live.do(live.controller.services.store.events(0, 500)))
    assert not [canary for canary in canaries if canary in told]


def test_s5_a_thousand_slow_connections_stop_nobody(live: Live) -> None:
    secret, slow = live.token(), list[socket.socket]()
    try:
        for number in range(1000):
            with contextlib.suppress(OSError):
                one = socket.create_connection(("127.0.0.1", live.port), 5.0)
                slow.append(one)
                if number % 10 == 0:  # some get as far as a request that never ends
                    spoken = live.ca.wrap_socket(one, server_hostname="127.0.0.1")
                    spoken.sendall(b"GET /api/v1/vms HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                    slow.append(spoken)
        assert len(slow) >= 1000
        for _ in range(3):
            assert live.get("whoami", secret, timeout=10.0).status_code == 200
    finally:
        for one in slow:
            one.close()


def test_s6_an_error_shows_no_path_and_no_trace(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = live.token()
    for path in ("vms/nosuch", "nosuch", "tasks/1", "processes/1", "history/vm/x", "vms/%00", "vms/..%2f..%2fetc"):
        answer = live.get(path, secret)
        assert (
            400 <= answer.status_code < 500 and "Traceback" not in answer.text and str(live.folder) not in answer.text
        )


def test_a_console_over_tls_asks_for_its_token(live: Live) -> None:
    uri = f"wss://127.0.0.1:{live.port}/api/v1/vms/web1/console"
    with connect(uri, ssl=live.ca) as socket_, pytest.raises(ConnectionClosed) as closed:
        socket_.recv()
    assert closed.value.rcvd is not None and "no token was given" in closed.value.rcvd.reason
    live.do(live.controller.services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0)))
    mine = bearer(live.token())
    with connect(uri, ssl=live.ca, additional_headers=mine) as socket_, pytest.raises(ConnectionClosed) as closed:
        socket_.recv()
    assert closed.value.rcvd is not None and "has no permission vm.console" in closed.value.rcvd.reason


def test_a_new_certificate_is_taken_without_a_stop(live: Live) -> None:
    def shown() -> bytes:
        plain = socket.create_connection(("127.0.0.1", live.port))
        with live.ca.wrap_socket(plain, server_hostname="127.0.0.1") as spoken:
            return spoken.getpeercert(binary_form=True) or b""

    before = shown()
    tls.init(live.folder / "tls", ["127.0.0.1"])  # by the same CA
    live.again()
    assert shown() != before
    (live.folder / "tls" / "server.pem").write_text("damaged")
    after = shown()
    live.again()
    assert shown() == after, "one that cannot be used changes nothing"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    tls.init(tmp_path, ["host"])
    (tmp_path / "server.key").chmod(0o644)
    with pytest.raises(Refused, match="can be read by others"):
        tls.context(tls.own(tmp_path))
    with pytest.raises(Usage, match="no TLS certificate"):
        tls.context(tls.own(tmp_path / "nosuch"))
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


async def test_what_a_row_says_of_itself_is_in_the_document(elsewhere: httpx.AsyncClient) -> None:
    document = (await elsewhere.get("/openapi.json")).json()
    assert document["paths"]["/api/v1/vms/{vm}/stop"]["post"]["x-permission"] == "vm.power"
    assert json.dumps(document).count("LogIn") >= 2
