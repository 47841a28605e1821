"""Uploads onto real storage, through real libvirtds: kills, two writers, a wrong checksum, a full storage."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.lab.pool import Pool, wait_for
from tests.lab.test_odd_hosts import inside
from tests.lab.test_storage import PLACE
from tests.lab.test_storage import small as small
from vmctl.cli import wire
from vmctl.cli.client import Client
from vmctl.commands.uploads import BeginUpload, DropUpload, FinishUpload, ShowUpload, WritePiece
from vmctl.errors import Refused, VmctlError
from vmctl.local import lock, paths

pytestmark = pytest.mark.lab
PIECE = 8 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """96 MiB of noise with 32 MiB of zeros in the middle."""
    made = tmp_path / "noise.img"
    made.write_bytes(os.urandom(48 << 20) + bytes(32 << 20) + os.urandom(48 << 20))
    return made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def on_disk(pool: Pool, path: str) -> str:
    """The checksum of a file as the last host has it."""
    return pool.ssh(pool.hosts[-1], f"sha256sum {path}").split()[0]


def piece(key: str, at: int, data: bytes) -> Any:
    return Client().send(wire.request(WritePiece(key, "file", at))._replace(body=data))


def left(pool: Pool) -> list[str]:
    """Files of images on the shared storage that no image is registered with."""
    known = {image["path"] for image in pool.do("image", "list", "-o", "json").json}
    found = pool.ssh(pool.hosts[0], "find /shared -path '*/image-*' -name disk").split()
    return [path for path in found if path not in known]


def ended(pool: Pool, task: Any) -> Any:
    pool("task", "attach", str(task["id"]))
    return pool.do("task", "show", str(task["id"]), "-o", "json").json


def uploads(pool: Pool) -> list[Any]:
    found: list[Any] = pool.do("image", "uploads", "-o", "json").json
    return found


def test_a_controller_that_is_killed_in_an_upload_is_followed_by_one_that_goes_on(pool: Pool, file: Path) -> None:
    digest = sha256(file.read_bytes())
    words = ("image", "add", "noise", str(file), "--sha256", digest)
    sending = pool.begin(*words)
    wait_for(lambda: [u for u in uploads(pool) if u["parts"][0]["offset"] >= 3 * PIECE], 60, "three pieces are there")
    holder = lock.holder(paths.lock_path())
    assert holder is not None
    os.kill(holder, signal.SIGKILL)
    assert sending.wait(120) == 0, "the same command went on"
    [image] = [one for one in pool.do("image", "list", "-o", "json").json if one["name"] == "noise"]
    assert on_disk(pool, image["path"]) == digest and lock.holder(paths.lock_path()) != holder
    used = int(pool.ssh(pool.hosts[0], f"du -k {image['path']}").split()[0])
    assert used < (100 << 10), "what is zeros takes no room"
    pool.do("image", "remove", "noise")
    assert left(pool) == []


def test_a_client_that_is_killed_too_goes_on_with_the_next_command(pool: Pool, file: Path) -> None:
    words = ("image", "add", "noise", str(file), "--sha256", sha256(file.read_bytes()))
    sending = pool.begin(*words)
    [upload] = wait_for(lambda: [u for u in uploads(pool) if u["parts"][0]["offset"] > PIECE], 60, "pieces are there")
    sending.kill()
    sending.wait()
    holder = lock.holder(paths.lock_path())
    assert holder is not None
    os.kill(holder, signal.SIGKILL)
    ran = pool.do(*words)
    assert f"going on with upload {upload['id']}" in ran.err
    pool.do("image", "remove", "noise")
    assert left(pool) == [] and uploads(pool) == []


def test_of_two_writers_at_one_place_one_is_told_so(pool: Pool) -> None:
    data = os.urandom(PIECE)
    key = Client().ask(BeginUpload("twice", 3 * PIECE, storage="main"))["id"]
    piece(key, 0, data)

    def write(letter: bytes) -> VmctlError | None:
        try:
            piece(key, PIECE, letter * PIECE)
        except VmctlError as err:
            return err
        return None

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(write, (b"a", b"b"))
    assert sorted(map(type, (first, second)), key=str) == [type(None), Refused], (first, second)
    assert piece(key, 0, data)["parts"][0]["offset"] == 2 * PIECE, "sent again, it does no harm"
    letter = b"a" if first is None else b"b"
    piece(key, 2 * PIECE, bytes(PIECE))
    task = ended(pool, Client().ask(FinishUpload(key)))
    assert task["result"]["sha256"]["file"] == sha256(data + letter * PIECE + bytes(PIECE)), task
    assert task["result"]["checked"] == []
    pool.do("image", "remove", "twice")


def test_a_wrong_checksum_takes_it_all_away(pool: Pool) -> None:
    key = Client().ask(BeginUpload("wrong", PIECE, "0" * 64))["id"]
    piece(key, 0, os.urandom(PIECE))
    task = ended(pool, Client().ask(FinishUpload(key)))
    assert "is not what was said" in task["error"]["message"], task
    assert uploads(pool) == [] and left(pool) == []
    assert "wrong" not in pool.do("image", "list").out


def test_a_full_storage_is_told_as_full_and_goes_on_when_there_is_room(pool: Pool, small: str, tmp_path: Path) -> None:
    file = tmp_path / "large.img"
    file.write_bytes(os.urandom(30 << 20))
    inside(small, f"dd if=/dev/zero of={PLACE}/fill bs=1M count=20 2>/dev/null && sync")
    ran = pool("image", "add", "large", str(file), "--storage", "small", "--sha256", sha256(file.read_bytes()))
    assert ran.code == 3 and "storage small is full" in ran.err and uploads(pool) == [], ran
    words = ("image", "add", "large", str(file), "--storage", "small", "--format", "raw")
    ran = pool(*words)
    assert ran.code == 3 and "storage small is full: byte" in ran.err, ran
    [upload] = uploads(pool)
    inside(small, f"rm {PLACE}/fill && sync")
    ran = pool.do(*words)
    assert f"going on with upload {upload['id']}" in ran.err
    pool.do("image", "remove", "large")
    assert sorted(inside(small, f"ls -A {PLACE}").split()) == ["lost+found"]


def test_a_file_with_a_backing_file_reaches_no_host(pool: Pool, tmp_path: Path) -> None:
    """On a host it would be read: libvirt opens what lies below a volume."""
    child = tmp_path / "child.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", child, "1M"], check=True
    )
    ran = pool("image", "add", "child", str(child), "--format", "qcow2")
    assert ran.code == 3 and "needs a backing file" in ran.err, ran
    wait_for(lambda: uploads(pool) == [], 30, "its upload is taken away")
    assert left(pool) == []


def test_a_qcow2_comes_in_pieces_and_boots(pool: Pool, tmp_path: Path) -> None:
    from vmctl.lab import images

    tiny = images.ensure("tiny", lambda _line: None)
    boot = ("--kernel", str(tiny.kernel), "--initrd", str(tiny.initrd), "--cmdline", tiny.cmdline)
    told = pool.do("image", "add", "sent", str(tiny.disk), *boot, "--format", "qcow2", "-o", "json").json
    assert set(told["sha256"]) == {"file", "kernel", "initrd"} == set(told["checked"])
    try:
        with pool.vms("fresh", image="sent"):
            pool.counting("fresh")
    finally:
        pool.do("image", "remove", "sent")


def test_one_that_is_dropped_leaves_nothing(pool: Pool) -> None:
    key = Client().ask(BeginUpload("dropped", PIECE))["id"]
    piece(key, 0, os.urandom(1 << 20))
    assert Client().ask(ShowUpload(key))["parts"][0]["offset"] == 1 << 20
    assert ended(pool, Client().ask(DropUpload(key)))["state"] == "done"
    assert left(pool) == [] and uploads(pool) == []
