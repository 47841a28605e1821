"""What clients may send. Unknown fields are refused, so that a misspelt one is not silently ignored.

All text is checked here: whatever is let in is later shown in lists, and written into XML and file names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vmctl import text

MOST_NUMBER = 2**63 - 1  # what the registry can hold
MOST_MIB = 64 << 20
DEEPEST = 8
WEEK_S = 7 * 86400.0


def _checked(problem: Callable[[Any], str | None]) -> Callable[[Any], Any]:
    """A validator from a rule of `text`."""

    def check(value: Any) -> Any:
        if (why := problem(value)) is not None:
            raise ValueError(why)
        return value

    return check


def _bad_inside(value: Any, depth: int = 0) -> str | None:
    """The first text in a body, at any depth, that cannot be taken; with the field that it is in."""
    if isinstance(value, str):
        return text.bad_text(value)
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        if isinstance(key, str) and (problem := text.bad_text(key, text.MOST_PART)):
            return problem
        if problem := "it is nested too deeply" if depth > DEEPEST else _bad_inside(item, depth + 1):
            return f"{text.field(key)}: {problem}" if isinstance(key, str) else problem
    return None


Name = Annotated[str, AfterValidator(_checked(text.bad_name))]
Group = Annotated[str, AfterValidator(_checked(lambda group: text.bad_text(group, 63)))]
MaybeName = Annotated[str, AfterValidator(_checked(lambda name: text.bad_name(name) if name else None))]
LabelMap = Annotated[dict[str, str], AfterValidator(_checked(text.bad_labels))]
Number = Annotated[int, Path(ge=0, le=MOST_NUMBER)]
Most = Annotated[int, Query(ge=1, le=500)]
After = Annotated[int, Query(ge=0, le=MOST_NUMBER)]
Moment = Annotated[float, Query(ge=0, le=1e11, allow_inf_nan=False)]
# a part of the path or the query, as what it stands for was named elsewhere
Part = Annotated[str, Path(), BeforeValidator(_checked(text.bad_part))]
Asked = Annotated[str, Query(), BeforeValidator(_checked(lambda part: text.bad_text(part, text.MOST_PART)))]


class Request(BaseModel):
    """The base of all."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _text(cls, values: Any) -> Any:
        return _checked(_bad_inside)(values)


class HostAdd(Request):
    """Hosts as NAME or NAME=ADDRESS[:PORT]."""

    hosts: list[str] = Field(min_length=1, max_length=200)
    user: str = Field("", max_length=64)
    fingerprint: str = Field("", max_length=128)
    migration_address: str = Field("", max_length=255)
    lockspace: str = ""
    labels: LabelMap = {}
    force: bool = False


class HostCheck(Request):
    """No names: all hosts."""

    hosts: list[Name] = Field([], max_length=200)


class Labels(Request):
    """Labels to set; an empty value takes one away."""

    labels: LabelMap


class StorageAdd(Request):
    """A directory that the hosts share."""

    name: Name
    path: str = Field(min_length=1)
    lockspace: str = ""


class StorageMeasure(Request):
    """The host that will be cut off."""

    host: Name


class ImageAdd(Request):
    """Files as the controller's own file system has them."""

    name: Name
    file: str = Field(min_length=1)
    kernel: str = ""
    initrd: str = ""
    cmdline: str = Field("", max_length=2048)
    storage: MaybeName = ""

    @model_validator(mode="after")
    def _boots(self) -> Self:
        if not self.kernel and (self.initrd or self.cmdline):
            raise ValueError(f"{'initrd' if self.initrd else 'cmdline'} is for a kernel, and none is given")
        return self


class Create(Request):
    """A new VM. Memory in MiB, the disk in bytes (0: as large as its image)."""

    name: Name
    image: Name
    cpus: int = Field(1, ge=1, le=1024)
    mem_mib: int = Field(ge=16, le=MOST_MIB)
    disk_bytes: int = Field(0, ge=0, le=1 << 50)
    full: bool = False
    host: MaybeName = ""
    labels: LabelMap = {}
    apart: Group = ""
    apart_by: str = Field("", max_length=text.MOST_PART)
    together: Group = ""
    prefer_apart: Group = ""
    prefer_together: Group = ""
    load_class: MaybeName = ""
    one_numa_node: bool = False
    cpu: Literal["baseline", "host"] = "baseline"
    bridge: MaybeName = ""
    agent_port: Literal["virtio", "isa"] = "virtio"
    no_start: bool = False
    autostart: bool = True

    @model_validator(mode="after")
    def _groups(self) -> Self:
        if self.apart_by and not self.apart:
            raise ValueError("apart_by says how VMs of an apart group are kept apart, and none is given")
        return self


class Start(Request):
    """Empty host: placement chooses. `i_know_it_is_off`: the VM's name, by whoever signs that it runs nowhere.

    `as_registered`: also where it was changed past the registry, so that the change is lost.
    """

    host: MaybeName = ""
    i_know_it_is_off: str = ""
    as_registered: bool = False


class Stop(Request):
    """`force` pulls the plug; 0 s means the default time. `i_know_it_is_off`: as in Start."""

    force: bool = False
    timeout_s: float = Field(0.0, ge=0, le=WEEK_S)
    i_know_it_is_off: str = ""


class Migrate(Request):
    """Empty `to`: placement chooses."""

    to: MaybeName = ""
    cold: bool = False


class Autostart(Request):
    """Whether it is started again after its host's reboot."""

    on: bool


class Heal(Request):
    """off, reboot or reset."""

    level: str


class Spend(Request):
    """What a plan may take at most (moves, GiB of memory over the wire, minutes on it), and whether only the hottest
    host counts."""

    moves: int | None = Field(None, ge=1, le=1_000_000)
    gib: float | None = Field(None, gt=0, le=1e9)
    minutes: float | None = Field(None, gt=0, le=1e9)
    coolest: bool | None = None

    def given(self) -> dict[str, Any]:
        """What was said, without the rest."""
        return self.model_dump(exclude_none=True)


class ScheduleSet(Request):
    """Five fields of cron text."""

    cron: str = Field(max_length=200)
    mode: str = "advise"
