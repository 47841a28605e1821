"""Files that libvirt cannot read are deleted all the same where they are ours alone."""

from __future__ import annotations

from typing import cast

import pytest

from tests.act.hosts import FakeHost
from vmctl.errors import LibvirtError
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import DAMAGED
from vmctl.hosts.ssh import Ran
from vmctl.model.records import Storage
from vmctl.storage import on

STORAGE = Storage("main", "/s", 1.0)


class Host(FakeHost):
    """One that shows nothing of a directory, and what it is told to run."""

    status = 0

    async def run(self, argv: object, *, check: bool = True, timeout_s: float = 0.0, stdin: bytes = b"") -> Ran:
        self.done.append(" ".join(cast(list[str], argv)[-1:]))
        return Ran(self.status, "", "")


async def delete(host: Host, name: str, code: int = DAMAGED) -> None:
    host.failing["delete_volume"] = LibvirtError("it shows nothing", code_number=code)
    await on(cast(HostLink, host), STORAGE).delete(name)


async def test_a_damaged_file_in_a_folder_of_ours_goes() -> None:
    host = Host("kvm1")
    await delete(host, "vm-web1-1/disk.qcow2")
    assert host.done == ["delete_volume", "/s/vm-web1-1/disk.qcow2"]


async def test_where_our_user_may_not_the_command_is_named() -> None:
    host = Host("kvm1")
    host.status = 1
    with pytest.raises(LibvirtError) as caught:
        await delete(host, "vm-web1-1/disk.qcow2")
    assert caught.value.hint == "on kvm1: rm -r /s/vm-web1-1"


@pytest.mark.parametrize(("name", "code"), [("web1.qcow2", DAMAGED), ("vm-web1-1/disk.qcow2", 38)])
async def test_nothing_else_is_removed_past_libvirt(name: str, code: int) -> None:
    host = Host("kvm1")
    with pytest.raises(LibvirtError):
        await delete(host, name, code)
    assert host.done == ["delete_volume"]
