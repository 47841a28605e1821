"""Lists page by page: each VM once, whatever comes and goes meanwhile, and nothing of what was read too early."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.api.conftest import Server
from vmctl.cli import wire
from vmctl.commands.vms import ListVMs, SetHeal
from vmctl.door.pages import KEPT, Page, Pages
from vmctl.model.records import VMRecord
from vmctl.model.rights import BUILT_IN, LOCAL_USER, Principal, Right
from vmctl.model.vms import PowerState, Spec

LINK = re.compile(r'<(/api/v1/[^>]*)>; rel="next"')


def vm(name: str, **more: Any) -> VMRecord:
    return VMRecord(Spec(f"uuid-{name}", name, 1, 64), 1.0, **more)


@pytest.fixture
async def many(server: Server) -> Server:
    for number in range(23):
        project, power = ("default", PowerState.RUNNING) if number % 3 else ("default", PowerState.STOPPED)
        host = f"kvm{number % 2}" if power is PowerState.RUNNING else ""
        owner = "anna" if number % 2 else ""
        record = vm(f"web{number:02}", project=project, power=power, host=host, owner=owner)
        await server.controller.services.store.add_vm(record)
    for name in ("Web", "db_1", "db%2", "\u00e9t\u00e9"):
        await server.controller.services.store.add_vm(vm(name))
    return server


async def walk(server: Server, path: str) -> list[list[str]]:
    """The names on each page."""
    pages = []
    while path:
        answer = await server.ask("GET", path)
        assert answer.status_code == 200, answer.text
        pages.append([one["name"] for one in answer.json()])
        found = LINK.fullmatch(answer.headers.get("Link", ""))
        path = found[1].removeprefix("/api/v1/") if found else ""
    return pages


@pytest.mark.parametrize("limit", [1, 2, 5, 27, 500])
async def test_every_vm_is_on_one_page(many: Server, limit: int) -> None:
    pages = await walk(many, f"vms?limit={limit}")
    names = [name for page in pages for name in page]
    assert names == sorted(names) and len(names) == len(set(names)) == 27
    assert all(len(page) <= limit for page in pages)


async def test_what_goes_and_comes_between_two_pages_moves_no_other(many: Server) -> None:
    store = many.controller.services.store
    first = await many.ask("GET", "vms?limit=10")
    seen = [one["name"] for one in first.json()]
    for name in seen[:3]:
        await store.forget_vm(await store.vm(name))
    await store.add_vm(vm("aaa"))
    rest = await walk(many, f"vms?limit=10&after={seen[-1]}")
    assert len({*seen, *(name for page in rest for name in page)}) == 27


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("begins=web0", [f"web0{n}" for n in range(10)]),
        ("begins=Web", ["Web"]),
        ("begins=db_", ["db_1"]),
        ("begins=db%25", ["db%2"]),
        ("begins=%C3%A9", ["\u00e9t\u00e9"]),
        ("host=kvm1&begins=web0", ["web01", "web05", "web07"]),
        ("owner=anna&begins=web1", ["web11", "web13", "web15", "web17", "web19"]),
        ("power=stopped&begins=web1", ["web12", "web15", "web18"]),
        ("project=blue", []),
        ("after=web20", ["web21", "web22", "\u00e9t\u00e9"]),
    ],
)
async def test_only_what_is_wanted(many: Server, query: str, names: list[str]) -> None:
    for limit in (2, 500):
        pages = await walk(many, f"vms?{query}&limit={limit}")
        assert [name for page in pages for name in page] == names, limit


async def test_a_page_that_was_kept_shows_nothing_that_was_changed_since(many: Server) -> None:
    door = many.controller.door
    for level in ("reboot", "reset", "off"):
        await door.ask(SetHeal("web01", level), LOCAL_USER)
        shown = {one["name"]: one["heal"] for one in await many.get("vms")}
        assert shown["web01"] == level


async def test_a_page_is_kept_for_those_alone_who_see_the_same(many: Server) -> None:
    door = many.controller.door
    blue = Principal("anna", (Right(BUILT_IN["viewer"], "project:blue"),))
    nobody = Principal("ben")
    for who, count in ((LOCAL_USER, 27), (blue, 0), (nobody, 0), (LOCAL_USER, 27)):
        assert len(await door.ask(ListVMs(), who)) == count


async def test_a_kept_page_has_the_link_of_what_was_understood(many: Server) -> None:
    twice = await many.ask("GET", "vms?begins=x&begins=web&limit=2")
    assert twice.status_code == 422 and "given twice" in twice.json()["detail"]
    for query in ("vms?limit=2&begins=web&owner=", "vms?begins=web&limit=2"):
        answer = await many.ask("GET", query)
        assert answer.headers["Link"] == '</api/v1/vms?limit=2&begins=web&after=web01>; rel="next"'


async def test_text_that_is_no_unicode_hides_nothing(many: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    services = many.controller.services
    monkeypatch.setattr(services.guests, "status", lambda _uuid: "\udcfc")
    answer = await many.ask("GET", "vms?limit=1")
    assert answer.status_code == 200 and answer.json()[0]["health"] == "\udcfc"


@pytest.mark.parametrize("bad", ["limit=0", "limit=501", "limit=x", "power=dancing", "page=2", "after=%00"])
async def test_a_page_that_there_cannot_be(many: Server, bad: str) -> None:
    assert (await many.ask("GET", f"vms?{bad}")).status_code == 422


def test_pages_are_kept_for_a_moment_and_not_without_end() -> None:
    pages, page = Pages(), Page[int]([1])
    pages.put("a", 7, 10.0, page)
    assert pages.get("a", 7, 10.5) is page
    assert [pages.get("a", 8, 10.5), pages.get("a", 7, 11.1), pages.get("b", 7, 10.5)] == [None] * 3
    for number in range(KEPT):
        pages.put(number, 7, 10.0, page)
    assert pages.get("a", 7, 10.5) is None and pages.get(KEPT - 1, 7, 10.5) is page


def test_the_client_knows_where_the_next_page_is() -> None:
    assert wire.next_page('</api/v1/vms?limit=2&after=web1>; rel="next"') == wire.Request(
        "GET", "/api/v1/vms?limit=2&after=web1", None
    )
    assert wire.next_page("") is None
