"""What clients may send. Unknown fields are refused, so that a misspelt one is not silently ignored."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Request(BaseModel):
    """The base of all."""

    model_config = ConfigDict(extra="forbid")


class HostAdd(Request):
    """Hosts as NAME or NAME=ADDRESS[:PORT]."""

    hosts: list[str] = Field(min_length=1, max_length=200)
    user: str = ""
    fingerprint: str = ""
    migration_address: str = ""
    lockspace: str = ""
    labels: dict[str, str] = {}
    force: bool = False


class HostCheck(Request):
    """No names: all hosts."""

    hosts: list[str] = []


class Labels(Request):
    """Labels to set; an empty value takes one away."""

    labels: dict[str, str]


class StorageAdd(Request):
    """A directory that the hosts share."""

    name: str
    path: str
    lockspace: str = ""


class ImageAdd(Request):
    """Files as the controller's own file system has them."""

    name: str
    file: str
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""
    storage: str = ""


class Create(Request):
    """A new VM. Memory in MiB, the disk in bytes (0: as large as its image)."""

    name: str
    image: str
    cpus: int = Field(1, ge=1, le=1024)
    mem_mib: int = Field(ge=16, le=64 << 20)
    disk_bytes: int = Field(0, ge=0)
    full: bool = False
    host: str = ""
    labels: dict[str, str] = {}
    apart: str = ""
    apart_by: str = ""
    together: str = ""
    prefer_apart: str = ""
    prefer_together: str = ""
    load_class: str = ""
    one_numa_node: bool = False
    cpu: Literal["baseline", "host"] = "baseline"
    bridge: str = ""
    agent_port: Literal["virtio", "isa"] = "virtio"
    no_start: bool = False


class Start(Request):
    """Empty host: placement chooses. `i_know_it_is_off`: the VM's name, by whoever signs that it runs nowhere.

    `as_registered`: also where it was changed past the registry, so that the change is lost.
    """

    host: str = ""
    i_know_it_is_off: str = ""
    as_registered: bool = False


class Stop(Request):
    """`force` pulls the plug; 0 s means the default time. `i_know_it_is_off`: as in Start."""

    force: bool = False
    timeout_s: float = Field(0.0, ge=0)
    i_know_it_is_off: str = ""


class Migrate(Request):
    """Empty `to`: placement chooses."""

    to: str = ""
    cold: bool = False


class Heal(Request):
    """off, reboot or reset."""

    level: str


class Spend(Request):
    """What a plan may take at most (moves, GiB of memory over the wire, minutes on it), and whether only the hottest
    host counts."""

    moves: int | None = Field(None, ge=1)
    gib: float | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0)
    coolest: bool | None = None

    def given(self) -> dict[str, Any]:
        """What was said, without the rest."""
        return self.model_dump(exclude_none=True)


class ScheduleSet(Request):
    """Five fields of cron text."""

    cron: str
    mode: str = "advise"
