"""`vmctl dump`: the cluster as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmctl import errors
from vmctl.cli import offline, output
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.commands.cluster import Dump

if TYPE_CHECKING:
    from vmctl.model.cluster import Cluster
    from vmctl.model.policy import Policy

FORMATS = click.Choice(["vmctl", "ganeti"])
PLACE = click.Path(path_type=Path)


@click.group(cls=Group)
def dump() -> None:
    """The cluster as a file, for decisions without it: save, convert."""


@dump.command("save")
@click.argument("file", type=PLACE)
@click.option("--force", is_flag=True, help="Even over a file that is there.")
def save(file: Path, force: bool) -> None:
    """Write the cluster as it is now, and the policy, to FILE.

    Then any decision about it can be tried: vmctl --dump FILE rebalance --plan

    Example: vmctl dump save today.json
    """
    _may_write(file, force)
    found = Client().ask(Dump())
    _write(file, json.dumps(found, indent=1, sort_keys=True) + "\n")
    hosts, vms = len(found["cluster"]["hosts"]), len(found["cluster"]["vms"])
    output.say(f"{file}: {hosts} hosts, {vms} VMs")


@dump.command("convert")
@click.argument("source", type=PLACE)
@click.argument("target", type=PLACE)
@click.option("--from", "form_in", type=FORMATS, required=True, help="What SOURCE is.")
@click.option("--to", "form_out", type=FORMATS, required=True, help="What TARGET is to be.")
@click.option("--utilisation", type=PLACE, help="Ganeti's utilisation file, if it is not FILE.util beside its data.")
def convert(source: Path, target: Path, form_in: str, form_out: str, utilisation: Path | None) -> None:
    """Turn the text files of Ganeti's hbal (-t, -U) into a dump, or a dump into them.

    Example: vmctl dump convert --from ganeti --to vmctl cluster.data cluster.json
    """
    if form_in == form_out == "ganeti" and utilisation:
        raise click.UsageError("--utilisation would be both read and written")
    cluster, policy = _load(source, form_in, utilisation)
    _save(target, form_out, utilisation, cluster, policy)


def _load(source: Path, form: str, utilisation: Path | None) -> tuple[Cluster, Policy]:
    if form == "vmctl":
        from vmctl.formats.dump import load

        return load(offline.read(source))
    from vmctl.formats import ganeti

    beside = utilisation or _found_beside(source)
    if beside is None:
        places = " or ".join(str(place) for place in _places_beside(source))
        click.echo(f"there is no {places}: nothing is said to be in use", err=True)
        return ganeti.read(offline.read(source), "")
    click.echo(f"what is in use: read from {beside}", err=True)
    return ganeti.read(offline.read(source), offline.read(beside))


def _save(target: Path, form: str, utilisation: Path | None, cluster: Cluster, policy: Policy) -> None:
    written = f"{target}: {len(cluster.hosts)} hosts, {len(cluster.vms)} VMs"
    if form == "vmctl":
        from vmctl.formats.dump import save

        _write(target, save(cluster, policy))
        output.say(written)
        return
    from vmctl.formats import ganeti

    data, loads = ganeti.write(cluster, policy)
    beside = utilisation or _beside(target)
    _write(target, data)
    _write(beside, loads)
    output.say(f"{written}; what they use: {beside}")
    for sentence in ganeti.lost(cluster):
        click.echo(f"not said there: {sentence}", err=True)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.util")


def _places_beside(path: Path) -> tuple[Path, ...]:
    """Where utilisation may be: FILE.data.util, as it is written here, or FILE.util, as Ganeti's examples have it."""
    return tuple(dict.fromkeys((_beside(path), path.with_suffix(".util"))))


def _found_beside(path: Path) -> Path | None:
    return next((place for place in _places_beside(path) if place.exists()), None)


def _may_write(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise errors.Refused(f"{path} is there already", hint="another name, or --force: it is written over")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as err:
        raise errors.Usage(f"{path} cannot be written: {err}") from err
