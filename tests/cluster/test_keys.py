"""Controllers' keys come onto hosts: what could not be written down is done again, and told once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from vmctl.cluster import keys
from vmctl.errors import CommandFailed, RegistryUnusable
from vmctl.hosts.port import Link
from vmctl.local.config import Settings
from vmctl.model.joining import ControllerKey
from vmctl.ports.store import Store
from vmctl.services import Services

HOME = "0a" * 16


async def test_what_could_not_be_written_down_is_done_again(
    registry: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.put(ControllerKey(HOME, "kctl2", "ssh-ed25519 CCCC", 1.0))
    services = Services(registry, Settings(), tmp_path, ())
    services.links["kvm1"] = cast(Link, SimpleNamespace(name="kvm1", online=True, since=1.0))
    put: list[str] = []

    async def let_in(link: Link, _lines: tuple[str, ...]) -> None:
        put.append(link.name)

    async def away(*_: object, **__: object) -> None:
        raise RegistryUnusable("away")

    monkeypatch.setattr(keys, "let_in", let_in)
    watched = keys.Keys(services)
    with monkeypatch.context() as while_away:
        while_away.setattr(registry, "change", away)
        with pytest.raises(RegistryUnusable):
            await watched.look()
    for _ in range(3):
        await watched.look()
    assert put == ["kvm1", "kvm1"]
    assert (await registry.get(ControllerKey, HOME)).hosts == ["kvm1"]
    assert [event.text for event in await registry.events()] == ["controller kctl2 is let into kvm1"]


async def test_each_host_is_written_down_though_many_come_at_once(
    registry: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.put(ControllerKey(HOME, "kctl2", "ssh-ed25519 CCCC", 1.0))
    services = Services(registry, Settings(), tmp_path, ())
    hosts = [f"kvm{number:02}" for number in range(2 * keys.AT_ONCE)]
    for name in hosts:
        services.links[name] = cast(Link, SimpleNamespace(name=name, online=True, since=1.0))
    broken = {"kvm07"}

    async def let_in(link: Link, _lines: tuple[str, ...]) -> None:
        if link.name in broken:
            raise CommandFailed("its disk is full")

    monkeypatch.setattr(keys, "let_in", let_in)
    watched = keys.Keys(services)
    await watched.look()
    assert (await registry.get(ControllerKey, HOME)).hosts == [name for name in hosts if name not in broken]
    broken.clear()
    await watched.look()
    assert (await registry.get(ControllerKey, HOME)).hosts == hosts
    told = [event.text for event in await registry.events() if event.kind == "controller"]
    assert sorted(text.split()[-1] for text in told) == hosts, "each is told once"


async def test_who_was_removed_is_let_in_until_each_host_was_reached(
    registry: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.put(ControllerKey(HOME, "kctl2", "", 1.0, hosts=["kvm1", "kvm2", "kvm3"]))
    services = Services(registry, Settings(), tmp_path, ())
    for name in ("kvm1", "kvm2"):  # kvm3 is away
        services.links[name] = cast(Link, SimpleNamespace(name=name, online=True, since=1.0))
    broken = {"kvm2"}

    async def let_in(link: Link, lines: tuple[str, ...]) -> None:
        assert not lines
        if link.name in broken:
            raise CommandFailed("kvm2: Operation not permitted")

    monkeypatch.setattr(keys, "let_in", let_in)
    watched = keys.Keys(services)
    for _ in range(3):
        await watched.look()
    assert (await registry.get(ControllerKey, HOME)).hosts == ["kvm2", "kvm3"]
    assert [(event.kind, event.subject) for event in await registry.events()] == [
        ("alarm", "kvm2"),
        ("controller", "kvm1"),
    ]
    broken.clear()
    await watched.look()
    assert (await registry.get(ControllerKey, HOME)).hosts == ["kvm3"]


async def test_what_is_put_back_is_taken_off_again(
    registry: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(registry, Settings(), tmp_path, ())
    services.links["kvm1"] = cast(Link, SimpleNamespace(name="kvm1", online=True, since=1.0))
    put: list[str] = []

    async def let_in(link: Link, _lines: tuple[str, ...]) -> None:
        put.append(link.name)

    monkeypatch.setattr(keys, "let_in", let_in)
    watched = keys.Keys(services)
    for _ in range(3):
        await watched.look()
    assert put == ["kvm1"]
    monkeypatch.setattr(keys, "AGAIN_S", 0.0)
    await watched.look()
    assert put == ["kvm1", "kvm1"]
