"""Disk images as files: what kind they are, by what is in them and not by their names, and where their data lies.

An image is qcow2 of version 2 or 3 that stands alone, or raw. Anything else is refused with the command that makes one
of it: QEMU would take it for raw, and a VM would find nothing to boot.
"""

from __future__ import annotations

import errno
import os
import shlex
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vmctl.errors import NotFound, Refused

T = TypeVar("T")
MOST_BYTES = 64 << 40  # of a disk
CHUNK = 1 << 20
HEAD = 33 << 10
SECTOR = 512
CONVERT = "qemu-img convert -O qcow2 {file} {stem}.qcow2"
MAGICS = (  # where, what, its name, the command that makes a disk image of it
    (0, b"KDMV", "a VMDK", CONVERT),
    (0, b"COWD", "a VMDK", CONVERT),
    (0, b"# Disk DescriptorFile", "a VMDK's description", CONVERT),
    (64, b"\x7f\x10\xda\xbe", "a VDI", CONVERT),
    (0, b"vhdxfile", "a VHDX", CONVERT),
    (0, b"conectix", "a VHD", CONVERT),
    (0, b"QED\0", "a QED image", CONVERT),
    (0, b"WithoutFreeSpace", "a Parallels image", CONVERT),
    (0, b"WithouFreSpacExt", "a Parallels image", CONVERT),
    (0, b"Bochs Virtual HD Image", "a Bochs image", CONVERT),
    (0, b"LUKS\xba\xbe", "encrypted (LUKS)", "qemu-img convert with its key, -O qcow2"),
    (0, b"\x1f\x8b", "compressed (gzip)", "gunzip -k {file}"),
    (0, b"\xfd7zXZ\0", "compressed (xz)", "unxz -k {file}"),
    (0, b"\x28\xb5\x2f\xfd", "compressed (zstd)", "unzstd {file}"),
    (0, b"BZh", "compressed (bzip2)", "bunzip2 -k {file}"),
    (0, b"\x04\x22\x4d\x18", "compressed (lz4)", "unlz4 -k {file}"),
    (0, b"PK\x03\x04", "a ZIP archive", "unzip {file}"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x {file}"),
    (257, b"ustar", "a tar archive (an .ova is one)", "tar xf {file}, then qemu-img convert the disk in it"),
)
DIRTY, CORRUPT, EXTERNAL, EXTENDED_L2 = 1, 2, 4, 16
KNOWN_FEATURES = DIRTY | CORRUPT | EXTERNAL | 8 | EXTENDED_L2  # as of QEMU 5.2; 8: another compression
MOST_L1, MOST_REFCOUNTS = 32 << 20, 8 << 20  # bytes, as QEMU has it
OFFSET = 0x00FFFFFFFFFFFE00
QCOW = b"QFI\xfb"
ISO_AT, ISO_MAGIC = 32 << 10, b"\x01CD001"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image that can be used: its format and the size of the disk in it."""

    format: str
    size_bytes: int


Reading = Generator[tuple[int, int], bytes, T]  # asks for (offset, length), is sent those bytes
Inspection = Reading[ImageFile]


def inspect(path: Path) -> ImageFile:
    """What a file is. Raises NotFound, and Refused for what is no disk image that can be used, with the mend."""
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    with path.open("rb") as file:
        asking = inspecting(path, path.stat().st_size)
        try:
            at, length = next(asking)
            while True:
                file.seek(at)
                at, length = asking.send(file.read(length))
        except StopIteration as end:
            found: ImageFile = end.value
            return found


def inspecting(path: Path, length: int) -> Inspection:
    """The same of a file that somebody else reads: asks for what it must see, and returns what the file is.

    `path`: what it is called in sentences. Raises Refused.
    """
    if not length:
        raise Refused(f"{path} is empty")
    head = yield 0, HEAD
    if head[:4] == QCOW:
        return (yield from _Qcow2(path, head, length).checked())
    _refuse_foreign(path, head, (yield max(0, length - SECTOR), SECTOR))
    _refuse_text(path, head)
    if length % SECTOR:
        raise Refused(
            f"{path} is no disk image: {length} bytes are not whole sectors", hint="was it copied completely?"
        )
    if length > MOST_BYTES:
        raise Refused(f"{path}: a disk of {length} bytes is more than {MOST_BYTES >> 40} TiB")
    return ImageFile("raw", length)


def check_head(path: Path, head: bytes, length: int) -> None:
    """What can be said of a disk image by its first bytes alone, before a host sees any. Raises Refused."""
    if head[:4] == QCOW:
        _Qcow2(path, head[:HEAD], length).check_header()
        return
    _refuse_foreign(path, head[:HEAD], b"")
    _refuse_text(path, head[:HEAD])


def refuse_disk(path: Path, head: bytes) -> None:
    """Refuse a kernel or initrd that is a disk image: libvirt would look for the file below it. Raises Refused."""
    if head[:4] in (QCOW, b"QED\0", b"KDMV", b"COWD", b"OOOM", b"# Di"):
        raise Refused(f"{path} is a disk image")


def is_iso(head: bytes) -> bool:
    """Whether a file that begins like that is an ISO 9660 file system."""
    return head[ISO_AT : ISO_AT + len(ISO_MAGIC)] == ISO_MAGIC


def _mend(path: Path, command: str) -> str:
    return command.format(file=shlex.quote(str(path)), stem=shlex.quote(str(path.with_suffix(""))))


def _refuse_foreign(path: Path, head: bytes, tail: bytes) -> None:
    for at, magic, name, command in MAGICS:
        if head[at : at + len(magic)] == magic:
            raise Refused(f"{path} is {name}, not qcow2 or raw", hint=_mend(path, command))
    if tail.startswith(b"conectix"):  # a fixed one has its description at its end
        raise Refused(f"{path} is a VHD, not qcow2 or raw", hint=_mend(path, "qemu-img convert -f vpc" + CONVERT[16:]))
    if tail.startswith(b"koly"):
        raise Refused(f"{path} is an Apple disk image, not qcow2 or raw", hint=_mend(path, CONVERT))


def _refuse_text(path: Path, head: bytes) -> None:
    """A saved error page, a checksum file, a script."""
    text = head.lstrip()[:4096]
    if not text or any(byte < 9 or 13 < byte < 32 for byte in text):
        return
    kind = "a web page" if text[:1] == b"<" else "text"
    raise Refused(f"{path} is {kind}, no disk image", hint=f"head -c 300 {shlex.quote(str(path))}")


class _Qcow2:
    """A qcow2's header and tables, with everything that speaks against it."""

    def __init__(self, path: Path, head: bytes, length: int) -> None:
        self._path, self._length = path, length
        if len(head) < 72:
            raise self._cut("its header")
        self._version, backing = struct.unpack(">IQ", head[4:16])
        if self._version == 1:
            raise Refused(f"{path} is a qcow of version 1, not qcow2", hint=_mend(path, CONVERT))
        if self._version not in (2, 3):
            raise Refused(f"{path} is a qcow2 of version {self._version}, which is not known")
        (self._bits, self._size, crypt, self._l1_size, self._l1, self._counts, self._count_clusters) = struct.unpack(
            ">IQIIQQI", head[20:60]
        )
        if self._version == 3 and len(head) < 104:
            raise self._cut("its header")
        self._features: int = struct.unpack(">Q", head[72:80])[0] if self._version == 3 else 0
        if backing:
            raise Refused(f"{path} needs a backing file", hint=self._flat())
        if crypt:
            raise Refused(f"{path} is encrypted", hint="qemu-img convert with its key, -O qcow2")

    def _flat(self) -> str:
        return _mend(self._path, "qemu-img convert -O qcow2 {file} {stem}-flat.qcow2")

    def _cut(self, what: str) -> Refused:
        return Refused(f"{self._path} is cut off: {what} is not all there", hint="copy it again")

    def check_header(self) -> None:
        """What its header says by itself. Raises Refused."""
        self._check_features()
        if not 9 <= self._bits <= 21:
            raise Refused(f"{self._path} is damaged: clusters of 2^{self._bits} bytes")
        if not 0 < self._size <= MOST_BYTES:
            raise Refused(f"{self._path}: a disk of {self._size} bytes is not from 1 byte to {MOST_BYTES >> 40} TiB")

    def checked(self) -> Inspection:
        """What is in it, when all is well."""
        self.check_header()
        yield from self._check_tables()
        return ImageFile("qcow2", self._size)

    def _check_features(self) -> None:
        path, quoted = self._path, shlex.quote(str(self._path))
        if self._features & ~KNOWN_FEATURES:
            raise Refused(f"{path} has features that QEMU does not know ({self._features:#x})")
        if self._features & EXTERNAL:
            raise Refused(f"{path} keeps its data in another file", hint=self._flat())
        if self._features & CORRUPT:
            raise Refused(f"{path} is marked as corrupt", hint=f"qemu-img check -r all {quoted}")
        if self._features & DIRTY:
            raise Refused(f"{path} was not closed properly", hint=f"qemu-img check -r all {quoted}")

    def _check_tables(self) -> Reading[None]:
        """Where the tables lie, and that the file is as long as they say."""
        cluster = 1 << self._bits
        entry = 16 if self._features & EXTENDED_L2 else 8
        covered = cluster // entry * cluster
        needed = -(-self._size // covered)
        l1_bytes, counts = self._l1_size * 8, self._count_clusters * cluster
        bad = self._l1_size < needed or l1_bytes > MOST_L1 or not 0 < counts <= MOST_REFCOUNTS
        if bad or self._l1 % cluster or self._counts % cluster or not self._l1 or not self._counts:
            raise Refused(f"{self._path} is damaged: its tables make no sense", hint=f"qemu-img check {self._path}")
        if self._l1 + l1_bytes > self._length or self._counts + cluster > self._length:
            raise self._cut("what its header points to")
        for number in (yield from self._table(self._l1, self._l1_size)):
            if number & OFFSET:
                yield from self._check_l2(number & OFFSET, cluster, entry)

    def _check_l2(self, at: int, cluster: int, entry: int) -> Reading[None]:
        if at % cluster or at + cluster > self._length:
            raise self._cut("one of its tables")
        table = yield from self._table(at, cluster // 8)
        for number in table[:: entry // 8]:
            compressed = number & 1 << 62
            place = number & ((1 << (62 - (self._bits - 8))) - 1) if compressed else number & OFFSET
            if place and place >= self._length:
                raise self._cut("some of its data")

    def _table(self, at: int, count: int) -> Reading[tuple[int, ...]]:
        found = yield at, count * 8
        if len(found) < count * 8:
            raise self._cut("one of its tables")
        return struct.unpack(f">{count}Q", found)


# -- where the data lies


def extents(path: Path) -> Iterator[tuple[int, int]]:
    """(offset, length) of what is in a file; the rest of it are holes, which take no room."""
    with path.open("rb") as file:
        end = 0
        while True:
            try:
                begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError as err:
                if err.errno == errno.ENXIO:  # nothing but a hole is left
                    return
                raise
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            yield begin, end - begin


def pieces(path: Path) -> Iterator[bytes | int]:
    """A file from its beginning to its end: bytes, and the lengths of holes and of what is all zeros."""
    zeros, at = bytes(CHUNK), 0
    with path.open("rb") as file:
        for begin, length in extents(path):
            if begin > at:
                yield begin - at
            file.seek(begin)
            at = begin
            while at < begin + length and (chunk := file.read(min(CHUNK, begin + length - at))):
                yield len(chunk) if chunk == zeros[: len(chunk)] else chunk
                at += len(chunk)
        if at < (size := path.stat().st_size):
            yield size - at


def samples(path: Path, most: int = 64) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) by which a copy can be told from the file: all of a small one, of others as much as `most` MiB.

    Always with the last data: where a copy was cut off, that is what is missing.
    """
    places = [
        (at, min(CHUNK, begin + length - at))
        for begin, length in extents(path)
        for at in range(begin, begin + length, CHUNK)
    ]
    step = max(1, len(places) // most)
    chosen = {*places[::step], *places[-1:]}
    with path.open("rb") as file:
        for at, length in sorted(chosen):
            file.seek(at)
            yield at, file.read(length)
