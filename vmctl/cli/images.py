"""`vmctl image`: what disks are made from."""

from __future__ import annotations

from pathlib import Path

import click

from vmctl.cli import complete, follow, output
from vmctl.cli.client import Client
from vmctl.cli.output import in_bytes
from vmctl.cli.sizes import Name
from vmctl.commands.storages import AddImage, ListImages, RemoveImage


@click.group()
def image() -> None:
    """Images that disks are made from: add, list, remove."""


@image.command("add")
@click.argument("name", type=Name())
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--kernel", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Boot this kernel directly."
)
@click.option("--initrd", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="With this initrd.")
@click.option("--cmdline", default="", help="And this kernel command line.")
@click.option("--project", default="default", shell_complete=complete.projects, help="What it belongs to (default).")
@click.option("--storage", "storage_name", default="", shell_complete=complete.storages, help="Where it is kept.")
@output.option
@follow.options
def image_add(
    name: str,
    file: Path,
    kernel: Path | None,
    initrd: Path | None,
    cmdline: str,
    storage_name: str,
    project: str,
    form: str,
    detach: bool,
    timeout: float,
) -> None:
    """Upload a disk image, qcow2 or raw.

    Example: vmctl image add debian-12 ./debian-12.qcow2
    """
    client = Client()
    files = {"file": file, "kernel": kernel, "initrd": initrd}
    body = {key: str(path.resolve()) if path else "" for key, path in files.items()}
    task = client.ask(AddImage(name, cmdline=cmdline, storage=storage_name, project=project, **body))
    follow.run(
        client,
        [task],
        form,
        lambda t: f"image {name}: {t['result']['format']}, {t['result']['size_bytes'] / 2**20:.0f} MiB",
        detach=detach,
        timeout=timeout,
    )


@image.command("list")
@output.option
def image_list(form: str) -> None:
    """List images.

    Example: vmctl image list
    """
    columns: tuple[output.Column, ...] = (
        ("NAME", lambda i: i["name"]),
        ("SIZE", lambda i: in_bytes(i["size_bytes"])),
        ("FORMAT", lambda i: i["format"]),
        ("STORAGE", lambda i: i["storage"]),
        ("BOOT", lambda i: "kernel" if i["kernel"] else "disk"),
    )
    output.rows(
        Client().ask(ListImages()), form, columns, (("PATH", lambda i: i["path"]),), "no images: vmctl image add"
    )


@image.command("remove")
@click.argument("name", shell_complete=complete.images)
@output.option
@follow.options
def image_remove(name: str, form: str, detach: bool, timeout: float) -> None:
    """Delete an image that no VM's disk is built on.

    Example: vmctl image remove debian-12
    """
    client = Client()
    task = client.ask(RemoveImage(name))
    follow.run(client, [task], form, lambda t: f"image {name} is deleted", detach=detach, timeout=timeout)
