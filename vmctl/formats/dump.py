"""A cluster and its policy at one moment as text, and back: what `vmctl --dump FILE` decides on. Pure.

The text is JSON, sorted, so that equal clusters are equal text and a diff shows what changed. Units are the model's:
MiB, seconds, cores, shares of one. What is infinite is written as "inf", because JSON has no number for it. A file
from an older program lacks newer fields and gets their defaults; a field that nobody knows is an error, because a
misspelt or newer one must not be silently ignored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from vmctl.errors import Usage
from vmctl.formats.plain import plain
from vmctl.model.cluster import Cluster
from vmctl.model.policy import Policy

FORMAT = 1  # of the file; raised when an older program could no longer make sense of it
_TRUTH = ConfigDict(extra="forbid", allow_inf_nan=True)


@dataclass(frozen=True, slots=True)
class _File:
    """All that a dump file holds. Its configuration holds for the model's classes inside it, too."""

    __pydantic_config__ = _TRUTH
    cluster: Cluster
    policy: Policy = field(default_factory=Policy)
    format: int = FORMAT


_READER = TypeAdapter(_File)


def save(cluster: Cluster, policy: Policy) -> str:
    """The dump file's text."""
    return json.dumps(plain(_File(cluster, policy)), indent=1, sort_keys=True, allow_nan=False) + "\n"


def load(text: str) -> tuple[Cluster, Policy]:
    """The inverse of `save`. Raises Usage, which names what is wrong and where."""
    raw = _checked(text)
    vms = raw["cluster"].get("vms") if isinstance(raw["cluster"], dict) else None
    for vm in vms if isinstance(vms, list) else ():
        _as_called_now(vm)
    try:
        found = _READER.validate_json(json.dumps(raw))
    except ValidationError as err:
        wrong = tuple(f"{_place(each['loc'])}: {each['msg']}" for each in err.errors())
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise Usage(f"not a dump that can be read: {wrong[0]}{more}", lines=wrong[1:10]) from err
    _check_once("host", (host.name for host in found.cluster.hosts))
    _check_once("VM", (vm.name for vm in found.cluster.vms))
    _check_once("VM with the UUID", (vm.spec.uuid for vm in found.cluster.vms))
    return found.cluster, found.policy


def _checked(text: str) -> dict[str, Any]:
    """The file's values. A newer format is told by its number, not by the first field that looks odd."""
    try:
        raw = json.loads(text)
    except ValueError as err:
        raise Usage(f"not a dump: it is not JSON: {err}") from err
    if not isinstance(raw, dict) or "cluster" not in raw:
        raise Usage("not a dump: it has no cluster", hint="vmctl dump save FILE")
    if raw.get("format") != FORMAT:
        raise Usage(f"this dump has the format {raw.get('format')!r}, and only format {FORMAT} can be read")
    return raw


def _as_called_now(vm: Any) -> None:
    """An earlier version called the labels that a VM's host must carry its labels."""
    spec = vm.get("spec") if isinstance(vm, dict) else None
    if isinstance(spec, dict) and "labels" in spec:
        spec.setdefault("needs", spec.pop("labels"))


def _check_once(what: str, names: Iterable[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise Usage(f"not a dump that can be read: the {what} {twice[0]!r} is in it more than once")


def _place(path: tuple[int | str, ...]) -> str:
    """('cluster', 'hosts', 3, 'cpus') as cluster.hosts[3].cpus."""
    words = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(words).lstrip(".") or "the whole"
