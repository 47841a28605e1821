"""Storage that is full, damaged in part or littered: told for what it is, and it harms nobody else."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.pool import Pool, wait_for
from tests.lab.test_odd_hosts import inside
from vmctl import lab
from vmctl.lab import images

pytestmark = pytest.mark.lab
PLACE = "/small"


@pytest.fixture
def small(pool: Pool, tmp_path: Path) -> Iterator[str]:
    """A file system of 40 MiB that all hosts share, registered as "small"."""
    file = tmp_path / "small.img"
    with file.open("wb") as made:
        made.truncate(40 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", file], check=True)
    found = subprocess.run(["losetup", "--find", "--show", file], capture_output=True, text=True, check=True)
    device = found.stdout.strip()
    number = device.removeprefix("/dev/loop")
    for host in pool.hosts:
        inside(host, f"mknod {device} b 7 {number}; mkdir {PLACE}; mount {device} {PLACE}")
    try:
        pool.do("storage", "add", "small", "--path", PLACE)
        yield pool.hosts[0]
    finally:
        pool("storage", "remove", "small")
        for host in pool.hosts:
            inside(host, f"umount {PLACE}; rmdir {PLACE}; rm {device}")
        subprocess.run(["losetup", "--detach", device], check=True)


def hosts_of(pool: Pool, storage: str) -> list[str]:
    found: list[str] = pool.do("storage", "show", storage, "-o", "json").json["hosts"]
    return found


def test_a_full_storage_is_told_as_full_and_keeps_its_proof(pool: Pool, small: str) -> None:
    disk = images.ensure("tiny", lambda _line: None).disk
    inside(small, f"dd if=/dev/zero of={PLACE}/fill bs=4k 2>/dev/null || sync")
    ran = pool("storage", "check", "small")
    assert ran.code == 7 and "the storage is full" in ran.out + ran.err, ran
    assert hosts_of(pool, "small") == sorted(pool.hosts)
    ran = pool("image", "add", "nospace", str(disk), "--storage", "small")
    assert ran.code == 3 and "storage small is full" in ran.err, ran
    assert "nospace" not in pool.do("image", "list").out
    assert sorted(inside(small, f"ls -A {PLACE}").split()) == ["fill", "lost+found"]
    inside(small, f"rm {PLACE}/fill")
    pool.do("storage", "check", "small")
    pool.do("image", "add", "nospace", str(disk), "--storage", "small")
    pool.do("image", "remove", "nospace")


def test_a_start_goes_where_the_storage_is_mounted(pool: Pool, small: str) -> None:
    disk = images.ensure("tiny", lambda _line: None)
    boot = ("--kernel", str(disk.kernel), "--initrd", str(disk.initrd), "--cmdline", disk.cmdline)
    pool.do("image", "add", "onsmall", str(disk.disk), "--storage", "small", *boot)
    lost, left = pool.hosts[:2], pool.hosts[2]
    device = inside(small, f"findmnt -no SOURCE {PLACE}").strip()
    try:
        with pool.vms("mobile", image="onsmall", options=("--no-start",)):
            for host in lost:
                inside(host, f"umount {PLACE}")
            ran = pool("start", "mobile", "--host", lost[0])
            assert ran.code == 3 and f"storage small is not mounted on {lost[0]}" in ran.err, ran
            why = pool.do("host", "show", lost[0], "-o", "json").json["why"]
            assert why == "storage small is not mounted there"
            assert pool.do("start", "mobile", "-o", "json").json["host"] == left
            assert pool.copies("mobile") == {left: "running"}
            for host in lost:
                inside(host, f"mount {device} {PLACE}")
            again = lambda: pool.do("host", "show", lost[0], "-o", "json").json["why"] == ""  # noqa: E731
            wait_for(again, 30, "it is seen to be mounted again")
    finally:
        pool("image", "remove", "onsmall")


def test_what_is_no_file_is_not_given_to_qemu(pool: Pool) -> None:
    """QEMU waits for the other end of a pipe, and libvirtd for QEMU: no list of domains any more on that host."""
    host = pool.hosts[0]
    with pool.vms("piped", options=("--no-start",)):
        disk = pool.vm("piped")["disks"][0]
        inside(host, f"mv {disk} /shared/piped.real; mkfifo {disk}")
        try:
            ran = pool("start", "piped", timeout_s=60)
            assert ran.code == 3 and f"{disk} on " in ran.err and "neither a file nor a disk" in ran.err, ran
        finally:
            inside(host, f"mv /shared/piped.real {disk}")
        pool.do("start", "piped")


def test_what_a_link_leads_to_is_not_deleted(pool: Pool) -> None:
    """Somebody moved a VM's folder and left a link; it leads to another VM's, which runs."""
    host = pool.hosts[0]
    with pool.vms("linked", options=("--no-start",)), pool.vms("theirs"):
        pool.counting("theirs")
        folder, theirs = (pool.vm(name)["disks"][0].rpartition("/")[0] for name in ("linked", "theirs"))
        inside(host, f"mv {folder} {folder}.moved; ln -s {theirs} {folder}")
        try:
            before = inside(host, f"ls {theirs}")
            ran = pool("delete", "linked", "--yes")
            assert ran.code == 3 and f"{folder} is a link" in ran.err, ran
            assert inside(host, f"ls {theirs}") == before
            mend = ran.err.split("; rm ")[1].partition(" takes")[0]
        finally:
            inside(host, f"rm {folder}; mv {folder}.moved {folder}")
        assert mend == folder


def test_a_layer_somewhere_else_is_not_lost_by_a_start_again(pool: Pool) -> None:
    """A snapshot with its layer outside the VM's folder, which no event tells of; then the host dies."""
    host = pool.hosts[2]
    with pool.vms("layered", options=("--host", host)):
        pool.counting("layered")
        disk, layer = pool.vm("layered")["disks"][0], "/shared/elsewhere.layered"
        spec = f"vda,snapshot=external,file={layer}"
        pool.virsh(host, "snapshot-create-as", "layered", "s", "--disk-only", "--no-metadata", "--diskspec", spec)
        lab.kill(host)
        try:
            wait_for(lambda: pool.do("host", "show", host, "-o", "json").json["state"] == "unknown", 40, "lost")
        finally:
            lab.boot(host)
        told = lambda: [e["text"] for e in pool.do("events", "-o", "json").json if e["kind"] == "differs"]  # noqa: E731
        wait_for(lambda: any(layer in text for text in told()), 60, "it is told why it is not started")
        assert pool.copies("layered") == {}
        ran = pool("start", "layered")
        assert ran.code == 3 and layer in ran.err and "qemu-img commit" in ran.err, ran
        inside(pool.hosts[0], f"qemu-img commit -q -b {disk} {layer} && rm {layer}")
        pool.do("start", "layered", "--as-registered")


def test_a_damaged_file_harms_nobody_else(pool: Pool) -> None:
    """libvirt shows nothing of a directory with such a file in it; nothing of ours depends on that."""
    host = pool.hosts[0]
    inside(host, "qemu-img create -q -f qcow2 /run/x 1M; head -c 50 /run/x > /shared/cut.qcow2")
    try:
        before = inside(host, "ls -A /shared")
        disk = images.ensure("tiny", lambda _line: None).disk
        pool.do("image", "add", "beside", str(disk))
        with pool.vms("beside1", "beside2"):
            pool.do("stop", "--force", "beside1")
            pool.do("start", "beside1")
            pool.do("migrate", "beside2")
        with pool.vms("full1", options=("--full",), image="beside"):
            assert pool.vm("full1")["power"] == "running"
        pool.do("image", "remove", "beside")
        pool.do("storage", "check", "main")
        pool.do("host", "check", host)
        assert inside(host, "ls -A /shared") == before
    finally:
        inside(host, "rm -f /shared/cut.qcow2")


def test_a_vms_damaged_disk_is_its_own_trouble(pool: Pool) -> None:
    with pool.vms("ill", "well"):
        pool.do("stop", "--force", "ill")
        (path,) = pool.vm("ill")["disks"]
        inside(pool.hosts[0], f"truncate -s 50 {path}")
        assert pool("start", "ill").code != 0
        pool.do("stop", "--force", "well")
        pool.do("start", "well")
        with pool.vms("later"):
            pool.do("storage", "check", "main")
        pool.do("delete", "--yes", "ill")
        assert "vm-ill-" not in inside(pool.hosts[0], "ls /shared")


def test_what_a_killed_controller_left_of_a_check_is_removed(pool: Pool) -> None:
    host, now = pool.hosts[0], int(time.time())
    old, young, strange = f".vmctl-probe-{now - 3600}-0123abcd", f".vmctl-probe-{now}-0123abcd", ".vmctl-probe-mine"
    for name in (old, young, strange):
        inside(host, f"mkdir /shared/{name}; echo x > /shared/{name}/probe")
    try:
        pool.do("storage", "check", "main")
        assert sorted(inside(host, "cd /shared; ls -d .vmctl-probe-*").split()) == sorted([young, strange])
    finally:
        inside(host, f"rm -r /shared/{young} /shared/{strange}")


def test_a_storage_has_one_path_and_one_name(pool: Pool) -> None:
    for path, code in (("/shared", 3), ("//shared/", 3), ("/shared/../etc", 2), ("shared", 2), ("/nowhere", 3)):
        assert pool("storage", "add", "again", "--path", path).code == code, path
    inside(pool.hosts[0], "ln -s /shared/vms /shared/link")
    ran = pool("storage", "add", "again", "--path", "/shared/link")
    inside(pool.hosts[0], "rm /shared/link")
    assert ran.code == 3 and "/shared/vms" in ran.err
    assert len(pool.do("storage", "list", "-o", "json").json) == 1


def test_a_pool_that_is_not_started_is_named_with_its_mend(pool: Pool) -> None:
    host = pool.hosts[0]
    xml = "<pool type='dir'><name>images2</name><target><path>/shared/second</path></target></pool>"
    inside(host, f'mkdir /shared/second; echo "{xml}" > /run/pool.xml; virsh pool-define /run/pool.xml')
    try:
        pool.do("storage", "add", "second", "--path", "/shared/second")
        disk = images.ensure("tiny", lambda _line: None).disk
        pool.do("image", "add", "there", str(disk), "--storage", "second")
        pool.do("image", "remove", "there")
        pool.do("storage", "remove", "second")
        assert "images2" in inside(host, "virsh -q pool-list --inactive --name")
    finally:
        inside(host, "virsh pool-undefine images2; rmdir /shared/second")
