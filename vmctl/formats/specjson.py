"""A specification as one line of JSON, and back: for the registry, the domain's metadata and the file beside a disk."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from vmctl.model.vms import Boot, Disk, Spec


def dump(spec: Spec) -> str:
    """Sorted, so that equal specifications are equal text."""
    raw = dataclasses.asdict(spec)
    if not spec.more_bridges:  # only adopted VMs have any: the rest reads as it always did
        del raw["more_bridges"]
    return json.dumps(raw, sort_keys=True, separators=(",", ":"))


def load(text: str) -> Spec:
    """The inverse; fields of a newer version are ignored. Raises ValueError, TypeError or KeyError on damage."""
    raw: dict[str, Any] = dict(json.loads(text))
    if "labels" in raw:  # as an earlier version called what it needs
        raw.setdefault("needs", raw.pop("labels"))
    known = {f.name for f in dataclasses.fields(Spec)}
    values = {key: value for key, value in raw.items() if key in known}
    values["disks"] = tuple(Disk(**disk) for disk in values.get("disks", ()))
    values["more_bridges"] = tuple(values.get("more_bridges", ()))
    values["boot"] = Boot(**values.get("boot", {}))
    return Spec(**values)
