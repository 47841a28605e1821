"""`vmctl image`: what disks are made from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from vmctl import errors
from vmctl.cli import complete, follow, output, uploading
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.cli.output import in_bytes
from vmctl.cli.sizes import Name
from vmctl.commands.storages import AddImage, ListImages, RemoveImage
from vmctl.commands.uploads import BeginUpload, DropUpload, FetchImage, Kind, ListUploads, Part


@click.group(cls=Group)
def image() -> None:
    """Images that disks are made from: add, list, uploads, remove."""


class FileOrUrl(click.Path):
    """A file here, or a URL."""

    name = "file or URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A URL as it is; a file as a path, which must be there."""
        return value if "://" in str(value) else super().convert(value, param, ctx)


@image.command("add")
@click.argument("name", type=Name())
@click.argument("file", type=FileOrUrl(exists=True, dir_okay=False, path_type=Path), metavar="FILE|URL")
@click.option(
    "--kernel", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Boot this kernel directly."
)
@click.option("--initrd", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="With this initrd.")
@click.option("--cmdline", default="", help="And this kernel command line.")
@click.option("--project", default="default", shell_complete=complete.projects, help="What it belongs to (default).")
@click.option("--storage", "storage_name", default="", shell_complete=complete.storages, help="Where it is kept.")
@click.option("--format", "kind", type=click.Choice(("qcow2", "raw", "iso")), help="Refuse a file that is none.")
@click.option("--sha256", default="", metavar="HEX", help="Refuse a file that has another SHA-256.")
@output.option
@follow.options
def image_add(
    name: str, file: Path | str, kernel: Path | None, initrd: Path | None, cmdline: str, form: str, **more: Any
) -> None:
    """Add a disk image (qcow2 or raw) or an ISO: a file from here, or one that the controller fetches.

    \b
    A file goes to a controller elsewhere in pieces. If that is broken off, the same command goes on with it.
    A URL must be on the list that the controller's admin keeps (allow_urls).

    Example: vmctl image add debian-12 ./debian-12.qcow2
    """
    kind: Kind = more["kind"] or ""
    sha256, timeout = more["sha256"].lower(), more["timeout"]
    storage, project = more["storage_name"], more["project"]
    client = Client()
    if isinstance(file, str):
        if kernel or initrd or cmdline:
            raise errors.Usage("a kernel is not fetched with an image", hint="download both, and add the files")
        task = client.ask(FetchImage(name, file, sha256, kind, storage, project))
    elif client.elsewhere or kind or sha256:
        given: dict[Part, Path | None] = {"file": file, "kernel": kernel, "initrd": initrd}
        files = {part: path for part, path in given.items() if path}
        wanted = BeginUpload(name, 1, sha256, kind, cmdline=cmdline, storage=storage, project=project)
        sender = Client(patience_s=uploading.PATIENCE_S)
        task = uploading.send(sender, files, wanted, quiet=form not in output.PEOPLE, timeout_s=timeout)
    else:
        here = {part: str(path.resolve()) if path else "" for part, path in (("kernel", kernel), ("initrd", initrd))}
        task = client.ask(
            AddImage(name, str(file.resolve()), **here, cmdline=cmdline, storage=storage, project=project)
        )
    follow.run(client, [task], form, _added, detach=more["detach"], timeout=timeout)


def _added(task: dict[str, Any]) -> str:
    result = task["result"]
    text = f"image {result['image']}: {result['format']}, {result['size_bytes'] / 2**20:.0f} MiB"
    if "sha256" not in result:
        return text
    compared = "as it was said" if "file" in result["checked"] else "compared with nothing"
    return f"{text}, SHA-256 {result['sha256']['file']} ({compared})"


@image.command("uploads")
@output.option
def image_uploads(form: str) -> None:
    """List images that are on their way.

    Example: vmctl image uploads
    """
    columns: tuple[output.Column, ...] = (
        ("ID", lambda u: u["id"]),
        ("NAME", lambda u: u["name"]),
        ("DONE", lambda u: output.share(_sum(u, "offset"), _sum(u, "size_bytes"))),
        ("SIZE", lambda u: in_bytes(_sum(u, "size_bytes"))),
        ("STATE", lambda u: u["state"]),
        ("WHO", lambda u: u["who"]),
        ("QUIET FOR", lambda u: output.ago(max(0.0, time.time() - u["changed_at"]))),
    )
    wide: tuple[output.Column, ...] = (("PROJECT", lambda u: u["project"]), ("STORAGE", lambda u: u["storage"]))
    output.rows(Client().ask(ListUploads()), form, columns, wide, "no uploads are under way", name=lambda u: u["id"])


def _sum(upload: dict[str, Any], what: str) -> int:
    return sum(int(part[what]) for part in upload["parts"])


@image.command("drop")
@click.argument("upload", shell_complete=complete.uploads)
@output.option
@follow.options
def image_drop(upload: str, form: str, detach: bool, timeout: float) -> None:
    """Take an upload away, with what came of it so far.

    Example: vmctl image drop 3f8a91c27d04b6e5
    """
    client = Client()
    task = client.ask(DropUpload(upload))
    follow.run(client, [task], form, lambda t: f"upload {upload} is gone", detach=detach, timeout=timeout)


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
