"""Image files: what they are, on files as qemu-img and others make them."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmctl.errors import NotFound, Refused, VmctlError
from vmctl.formats.imagefile import ImageFile, check_head, extents, inspect, is_iso, pieces, refuse_disk, samples

needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"), reason="no qemu-img")
MIB = 1 << 20


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A qcow2 with some data in it, at both ends."""
    raw, made = tmp_path / "good.raw", tmp_path / "good.qcow2"
    with raw.open("wb") as file:
        file.write(os.urandom(200_000))
        file.truncate(16 * MIB)
        file.seek(16 * MIB - 70_000)
        file.write(os.urandom(70_000))
    qemu_img("convert", "-O", "qcow2", raw, made)
    return made


def changed(path: Path, at: int, data: bytes) -> Path:
    copy = path.with_name(f"changed-{at}-{data.hex()}.qcow2")
    copy.write_bytes(path.read_bytes())
    with copy.open("r+b") as file:
        file.seek(at)
        file.write(data)
    return copy


@needs_qemu_img
@pytest.mark.parametrize(
    "more", [(), ("-o", "compat=0.10"), ("-c",), ("-o", "cluster_size=4096"), ("-o", "extended_l2=on")]
)
def test_every_good_qcow2_is_taken(good: Path, more: tuple[str, ...]) -> None:
    made = good.with_name("again.qcow2")
    qemu_img("convert", "-O", "qcow2", *more, good, made)
    assert inspect(made) == ImageFile("qcow2", 16 * MIB)


def test_raw_is_taken(tmp_path: Path) -> None:
    for content in (bytes(MIB), bytes(510) + b"\x55\xaa" + bytes(512), os.urandom(4096)):
        (tmp_path / "raw").write_bytes(content)
        assert inspect(tmp_path / "raw") == ImageFile("raw", len(content))


@needs_qemu_img
@pytest.mark.parametrize(
    ("format_", "more", "named"),
    [
        ("vmdk", (), "a VMDK"), ("vmdk", ("-o", "subformat=streamOptimized"), "a VMDK"), ("vdi", (), "a VDI"),
        ("vhdx", (), "a VHDX"), ("vpc", (), "a VHD"), ("vpc", ("-o", "subformat=fixed"), "a VHD"),
        ("qcow", (), "a qcow of version 1"), ("qed", (), "a QED image"), ("parallels", (), "a Parallels image"),
    ],
)  # fmt: skip
def test_what_other_hypervisors_make_is_named_with_the_command(
    good: Path, format_: str, more: tuple[str, ...], named: str
) -> None:
    made = good.with_name("made")
    qemu_img("convert", "-O", format_, *more, good, made)
    with pytest.raises(Refused, match=named) as caught:
        inspect(made)
    assert "qemu-img convert" in caught.value.hint and str(made) in caught.value.hint


PACKED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip": (gzip.compress, "gunzip"),
    "xz": (lzma.compress, "unxz"),
}


@pytest.mark.parametrize("kind", PACKED)
def test_what_is_packed_is_named_with_the_command(tmp_path: Path, kind: str) -> None:
    pack, command = PACKED[kind]
    (tmp_path / "a b").write_bytes(pack(bytes(MIB)))
    with pytest.raises(Refused, match=kind) as caught:
        inspect(tmp_path / "a b")
    assert command in caught.value.hint and f"'{tmp_path}/a b'" in caught.value.hint


def test_archives_text_and_nothing_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(4096))
    with tarfile.open(tmp_path / "x.ova", "w") as tar:
        tar.add(tmp_path / "disk", "disk.vmdk")
    (tmp_path / "page").write_text("<html>404 Not Found</html>\n")
    (tmp_path / "sums").write_text("d41d8cd98f00b204e9800998ecf8427e  disk.img\n" * 512)
    (tmp_path / "empty").touch()
    (tmp_path / "odd").write_bytes(bytes(1000))
    for name, words in (
        ("x.ova", "tar archive"), ("page", "a web page"), ("sums", "is text"), ("empty", "is empty"),
        ("odd", "whole sectors"),
    ):  # fmt: skip
        with pytest.raises(Refused, match=words):
            inspect(tmp_path / name)
    for missing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(NotFound):
            inspect(missing)


@needs_qemu_img
@pytest.mark.parametrize(
    ("at", "data", "words"),
    [
        (4, struct.pack(">I", 4), "version 4"),
        (20, struct.pack(">I", 63), "2\\^63"),
        (20, struct.pack(">I", 8), "2\\^8"),
        (24, struct.pack(">Q", 1 << 50), "64 TiB"),
        (24, struct.pack(">Q", 1 << 63), "64 TiB"),
        (24, struct.pack(">Q", 0), "from 1 byte"),
        (24, struct.pack(">Q", 1 << 40), "make no sense"),
        (36, struct.pack(">I", 0xFFFFFFFF), "make no sense"),
        (40, struct.pack(">Q", 1 << 40), "is cut off"),
        (40, struct.pack(">Q", 77), "make no sense"),
        (48, struct.pack(">Q", 1 << 40), "is cut off"),
        (72, struct.pack(">Q", 1), "not closed properly"),
        (72, struct.pack(">Q", 2), "corrupt"),
        (72, struct.pack(">Q", 4), "in another file"),
        (72, struct.pack(">Q", 1 << 40), "does not know"),
        (32, struct.pack(">I", 2), "encrypted"),
        (8, struct.pack(">Q", 400), "backing file"),
    ],
)
def test_a_qcow2_that_cannot_be_used_says_why(good: Path, at: int, data: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        inspect(changed(good, at, data))


@needs_qemu_img
def test_one_that_is_encrypted_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "luks.qcow2"
    qemu_img("create", "-f", "qcow2", made, "16M")
    with made.open("r+b") as file:  # as LUKS writes it; qemu-img itself makes none on a machine that is busy
        file.seek(32)
        file.write((2).to_bytes(4, "big"))
    with pytest.raises(Refused, match="encrypted"):
        inspect(made)


@needs_qemu_img
def test_one_that_was_cut_off_is_refused_wherever(good: Path) -> None:
    whole = good.read_bytes()
    cut = good.with_name("cut.qcow2")
    for length in (4, 8, 50, 71, 72, 103, 104, 300, 65536, len(whole) // 2, len(whole) - 65536):
        cut.write_bytes(whole[:length])
        with pytest.raises(Refused):
            inspect(cut)


@needs_qemu_img
def test_whatever_is_in_it_nothing_else_is_raised(good: Path, tmp_path: Path) -> None:
    whole = bytearray(good.read_bytes())

    @given(st.lists(st.tuples(st.integers(0, 103), st.integers(0, 255)), max_size=6), st.integers(0, len(whole)))
    def check(bytes_: list[tuple[int, int]], length: int) -> None:
        made = whole.copy()
        for at, value in bytes_:
            made[at] = value
        (tmp_path / "odd").write_bytes(made[:length])
        try:
            assert inspect(tmp_path / "odd").size_bytes > 0
        except VmctlError:
            return

    check()


def sparse(path: Path) -> bytes:
    """A file with data in two places and holes around them."""
    with path.open("wb") as file:
        file.truncate(40 * MIB)
        file.seek(10 * MIB)
        file.write(b"x" * 5000)
        file.seek(30 * MIB)
        file.write(bytes(3 * MIB) + b"y")
    return path.read_bytes()


def test_pieces_are_the_file_and_holes_stay_holes(tmp_path: Path) -> None:
    whole = sparse(tmp_path / "sparse")
    found = list(pieces(tmp_path / "sparse"))
    assert b"".join(bytes(piece) if isinstance(piece, int) else piece for piece in found) == whole
    assert sum(len(piece) for piece in found if isinstance(piece, bytes)) < 200_000
    assert sum(length for _, length in extents(tmp_path / "sparse")) < 4 * MIB


def test_samples_have_the_last_data_and_are_few(tmp_path: Path) -> None:
    whole = sparse(tmp_path / "sparse")
    found = list(samples(tmp_path / "sparse", most=2))
    assert all(whole[at : at + len(data)] == data for at, data in found)
    assert any(data.rstrip(b"\0").endswith(b"y") for _, data in found) and len(found) <= 4
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", MIB)
    assert list(samples(tmp_path / "hole")) == [] and list(pieces(tmp_path / "hole")) == [MIB]


# -- by its first bytes, before a host sees any


@needs_qemu_img
def test_a_head_alone_tells_what_lies_below(good: Path, tmp_path: Path) -> None:
    child, apart = tmp_path / "child.qcow2", tmp_path / "apart.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", good, "-F", "qcow2", child)
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path}/data.raw", apart, "1M")
    check_head(good, good.read_bytes(), good.stat().st_size)
    for path, why in ((child, "backing file"), (apart, "data in another file")):
        with pytest.raises(Refused, match=why):
            check_head(path, path.read_bytes(), path.stat().st_size)


@pytest.mark.parametrize("head", [b"KDMV", b"QED\0", b"<html>", b"\x1f\x8b\x08"])
def test_a_head_that_is_no_disks_is_refused(head: bytes) -> None:
    with pytest.raises(Refused):
        check_head(Path("x"), head + b"-" * 100, 4096)


@pytest.mark.parametrize("head", [b"QFI\xfb\0\0\0\3", b"QED\0", b"KDMV", b"COWD", b"# Disk DescriptorFile"])
def test_a_kernel_is_no_disk_image(head: bytes) -> None:
    with pytest.raises(Refused, match="disk image"):
        refuse_disk(Path("vmlinuz"), head)
    refuse_disk(Path("initrd"), gzip.compress(b"cpio"))


def test_an_iso_is_known_by_its_mark() -> None:
    assert is_iso(bytes(32 << 10) + b"\x01CD001\x01") and not is_iso(bytes(40 << 10))
