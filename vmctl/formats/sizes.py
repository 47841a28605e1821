"""Sizes of VMs as people write them: 2c/4G is 2 vCPUs and 4 GiB. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

Size = tuple[int, int]  # vCPUs, MiB
SIZES: tuple[Size, ...] = ((1, 1 << 10), (2, 4 << 10), (4, 16 << 10))  # the usual ones
SIZE = re.compile(r"(\d{1,4})C/(\d{1,9}(?:\.\d{1,9})?)([MGT]?)(?:I?B)?")
MIB = {"": 1, "M": 1, "G": 1 << 10, "T": 1 << 20}
MOST_CPUS, MOST_MIB, MOST_SIZES = 1024, 64 << 20, 20


def parse(texts: Iterable[str]) -> tuple[Size, ...]:
    """Sizes from texts such as `2c/4G` or `1c/1G,2c/4G`; the usual ones from none. Raises ValueError."""
    words = [word for text in texts for word in text.split(",")]
    if len(words) > MOST_SIZES:
        raise ValueError(f"these are {len(words)} sizes, at most {MOST_SIZES} can be asked for at once")
    return tuple(dict.fromkeys(_size(word) for word in words)) or SIZES


def _size(text: str) -> Size:
    found = SIZE.fullmatch(text.strip().upper())
    if found is None:
        raise ValueError(f"{text!r} is not a size of VMs: write 2c/4G for 2 vCPUs and 4 GiB")
    cpus, mem_mib = int(found[1]), int(float(found[2]) * MIB[found[3]])
    if not (1 <= cpus <= MOST_CPUS and 1 <= mem_mib <= MOST_MIB):
        raise ValueError(f"{text!r} is no size that a VM can have: 1 to {MOST_CPUS} vCPUs, 1M to {MOST_MIB >> 20}T")
    return cpus, mem_mib


def spelt(cpus: int, mem_mib: int) -> str:
    """A size as it is written: 2c/4G, 1c/512M."""
    return f"{cpus}c/{mem_mib >> 10}G" if mem_mib % 1024 == 0 else f"{cpus}c/{mem_mib}M"
