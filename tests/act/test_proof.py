"""What a storage check concludes from what hosts show: each fault for what it is, and harm to nobody else."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from tests.act.crash import new_job, to_its_end
from tests.act.hosts import FakeHost, Files
from vmctl.act import storage
from vmctl.act.proof import Finding, Proof, State, prove
from vmctl.act.storage import clean_path
from vmctl.errors import LibvirtError, NoAnswer, Usage
from vmctl.hosts import mounts
from vmctl.hosts.facts import Fact
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import GONE
from vmctl.model.records import Storage
from vmctl.services import Services

STORAGE = Storage("main", "/s", 1.0)
OLD = f".vmctl-probe-{int(time.time()) - 3600}-0123abcd"


class Host(FakeHost):
    """A host, its mount, and what that does to what is read."""

    def __init__(self, name: str, files: Files, mount: str = "ext4 /dev/sda") -> None:
        super().__init__(name, files=files)
        self.mount: mounts.Mount | None = mounts.Mount("/s", *mount.split())
        self.cache: dict[str, bytes] | None = None  # a mount that goes on showing what it has once seen
        self.probes: list[str] = []

    async def ask(self, fact: Fact[Any]) -> Any:
        if fact.parse is mounts.parse:
            self._answers("look")
            return self.mount
        if fact.parse is mounts.parse_space:
            return await super().ask(fact)
        return self.probes

    async def upload(self, pool_path: str, name: str, pieces: Any, *, sparse: bool = False, offset: int = 0) -> None:
        await super().upload(pool_path, name, pieces, sparse=sparse, offset=offset)
        if self.cache is not None:
            self.cache[name] = self.files[f"{pool_path}/{name}"]

    async def download(self, pool_path: str, name: str, most: int, offset: int = 0) -> bytes:
        if f"{pool_path}/{name}" not in self.files:
            raise LibvirtError(f"no storage vol with matching path {name}", code_number=GONE[0])
        found = await super().download(pool_path, name, most, offset)
        return found if self.cache is None else self.cache.setdefault(name, found)


@pytest.fixture
def shared() -> list[Host]:
    """Three hosts with one directory."""
    files: Files = {"/s/theirs": b"x"}
    return [Host(f"kvm{number}", files) for number in (1, 2, 3)]


async def proven(hosts: list[Host]) -> Proof:
    found = await prove(STORAGE, [cast(HostLink, host) for host in hosts])
    assert all(set(host.files) == {"/s/theirs"} for host in hosts), "nothing of ours stays"
    return found


def states(proof: Proof) -> dict[str, str]:
    return {name: str(found.state) for name, found in proof.findings.items()}


async def test_one_directory_everywhere_is_good(shared: list[Host]) -> None:
    proof = await proven(shared)
    assert states(proof) == {"kvm1": "good", "kvm2": "good", "kvm3": "good"} and proof.lines == ()
    assert (proof.capacity, proof.free) == (1 << 30, 1 << 30)
    assert set(shared[0].files) == {"/s/theirs"}


async def test_a_directory_of_its_own_is_wrong_on_that_host_only(shared: list[Host]) -> None:
    shared[1].files = {"/s/theirs": b"x"}
    shared[2].files, shared[2].mount = {"/s/theirs": b"x"}, mounts.Mount("/s", "ext4", "/dev/sdb", "/")
    proof = await proven(shared)
    assert states(proof) == {"kvm1": "good", "kvm2": "wrong", "kvm3": "wrong"}
    assert "another directory than on kvm1" in proof.findings["kvm2"].text
    assert proof.findings["kvm3"].hint == "on kvm3: mount /s as on kvm1"


@pytest.mark.parametrize("cached", [0, 1])
async def test_a_cache_is_named_with_the_option_that_cures_it(cached: int) -> None:
    files: Files = {"/s/theirs": b"x"}
    hosts = [Host(name, files, "fuse.glusterfs server:/v") for name in ("kvm1", "kvm2")]
    hosts[cached].cache = {}
    proof = await proven(hosts)
    wrong = proof.findings["kvm2"]
    assert wrong.state is State.WRONG and f"kvm{cached + 1} goes on reading what a file held before" in wrong.text
    assert "direct-io-mode=enable" in wrong.hint


async def test_a_full_storage_takes_no_proof_away(shared: list[Host]) -> None:
    for host in shared:
        host.free, host.loses_writes = 100, True
    proof = await proven(shared)
    assert states(proof) == {"kvm1": "unknown", "kvm2": "unknown", "kvm3": "unknown"}
    assert proof.findings["kvm1"].text == "the storage is full (100 bytes free), so nothing can be proven"
    for host in shared:
        host.loses_writes, host.failing["upload"] = False, LibvirtError("cannot write: No space left on device")
    assert states(await proven(shared)) == states(proof)


@pytest.mark.parametrize("call", ["look", "create_volume", "upload", "download"])
async def test_no_answer_is_not_a_no_and_stops_no_other(shared: list[Host], call: str) -> None:
    shared[0].failing[call] = NoAnswer("libvirt on kvm1 did not answer")
    proof = await proven(shared)
    assert states(proof) == {"kvm1": "unknown", "kvm2": "good", "kvm3": "good"}


async def test_a_host_without_the_directory_is_not_wrong(shared: list[Host]) -> None:
    shared[0].mount = None
    assert states(await proven(shared)) == {"kvm1": "absent", "kvm2": "good", "kvm3": "good"}


async def test_what_a_dead_controller_left_goes(shared: list[Host]) -> None:
    young = f".vmctl-probe-{int(time.time())}-0123abcd"
    shared[0].probes = [OLD, young]
    shared[0].files |= {f"/s/{OLD}/probe": b"x", f"/s/{young}/probe": b"x"}
    await prove(STORAGE, [cast(HostLink, host) for host in shared])
    assert set(shared[0].files) == {"/s/theirs", f"/s/{young}/probe"}


@pytest.mark.parametrize("path", ["/s", "/s/", "//s", "/s//"])
def test_a_path_is_kept_in_one_form(path: str) -> None:
    assert clean_path(path) == "/s" and clean_path("//a///b/") == "/a/b" and clean_path("/") == "/"


@pytest.mark.parametrize("path", ["", "s", "./s", "/s/..", "/s/../etc", "/./s", "/a\0b", "/a\nb"])
def test_a_path_that_could_mean_another_is_refused(path: str) -> None:
    with pytest.raises(Usage):
        clean_path(path)


def test_lines_name_what_is_to_be_done() -> None:
    proof = Proof({"kvm1": Finding(State.GOOD), "kvm2": Finding(State.WRONG, "bad", "mend it")})
    assert proof.lines == ("kvm2: bad  -> mend it",)


async def test_what_is_not_one_directory_is_not_registered(services: Services) -> None:
    """Two hosts that each have a directory of that path, and nothing in common."""
    for name in ("kvm1", "kvm2"):
        services.links[name] = cast(HostLink, Host(name, {}))
    said = await to_its_end(services, storage.add, await new_job(services, "storage add", "two", name="two", path="/s"))
    assert "not one directory that all hosts share" in said
    assert await services.store.all(Storage) == []
