"""`vmctl image add` over the network: in pieces, over broken connections, and on from where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.act.hosts import FakeHost
from tests.api.live import Live, served
from tests.cli.run import said, vmctl
from vmctl.api import limits
from vmctl.cli import uploading, wire
from vmctl.cli.client import Client
from vmctl.cli.wire import Request
from vmctl.commands import users
from vmctl.commands.uploads import WritePiece
from vmctl.errors import ControllerUnreachable, NotAllowed, NotFound, Refused, Usage
from vmctl.model.records import Image, Storage
from vmctl.model.rights import LOCAL_USER
from vmctl.model.uploads import Upload

DISK = os.urandom((20 << 20) + 512)  # three pieces


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch, served(folder, empty_registry) as made:
        patch.setenv("XDG_DATA_HOME", str(folder))
        made.controller.services.links["kvm1"] = FakeHost("kvm1")  # type: ignore[assignment]
        made.do(made.controller.services.store.put(Storage("main", "/s", 1.0, hosts=["kvm1"])))
        made.ask(users.GrantRole("anna", "creator", "project:default"))
        yield made


@pytest.fixture
def file(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk image of hers; the context of anna is used."""
    for kind in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    for name in ("VMCTL_SOCKET", "VMCTL_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(uploading, "AGAIN_S", 0.01)
    (tmp_path / "token").write_text(live.token())
    where = ("--server", f"127.0.0.1:{live.port}", "--token-file", str(tmp_path / "token"), "--ca", str(live.ca_file))
    said("context", "add", "work", *where)
    path = tmp_path / "disk.img"
    path.write_bytes(DISK)
    yield path
    store = live.controller.services.store
    for image in live.do(store.all(Image)):
        live.do(store.take_image(image.name))
    for upload in live.do(store.all(Upload)):
        live.do(store.remove(Upload, upload.id))


def kept(live: Live, name: str = "tiny") -> bytes:
    """An image as its storage has it."""
    image = live.do(live.controller.services.store.get(Image, name))
    host: Any = live.controller.services.links["kvm1"]
    return bytes(host.files[image.path])


def at_piece(monkeypatch: pytest.MonkeyPatch, number: int, fault: Callable[[], None], *, is_sent: bool) -> list[int]:
    """Let something happen at the sending of a piece: before it, or when its answer is due. The pieces' sizes."""
    real, sizes = Client.send, list[int]()

    def send(client: Client, request: Request) -> Any:
        if request.method != "PUT":
            return real(client, request)
        sizes.append(len(request.body or b""))
        answer = real(client, request) if is_sent or len(sizes) != number else None
        if len(sizes) == number:
            fault()
        return answer

    monkeypatch.setattr(Client, "send", send)
    return sizes


def breaks() -> None:
    raise ControllerUnreachable("the connection broke")


def stops() -> None:
    raise KeyboardInterrupt


def test_a_file_goes_over_the_network(live: Live, file: Path) -> None:
    told = json.loads(said("image", "add", "tiny", str(file), "-o", "json"))
    assert (told["sha256"]["file"], told["checked"]) == (hashlib.sha256(DISK).hexdigest(), ["file"])
    assert kept(live) == DISK
    assert "tiny" in said("image", "list") and "no uploads" in vmctl("image", "uploads").output


def test_people_see_how_far_it_is(live: Live, file: Path) -> None:
    shown = vmctl("image", "add", "tiny", str(file), "--kernel", str(file), "--cmdline", "quiet").output
    assert "image tiny  [" in shown and "of 40M" in shown and "as it was said" in shown


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_connection_that_breaks_is_no_end(
    live: Live, file: Path, monkeypatch: pytest.MonkeyPatch, is_sent: bool
) -> None:
    """The piece is there and its answer lost, or it never went."""
    sizes = at_piece(monkeypatch, 2, breaks, is_sent=is_sent)
    done = vmctl("image", "add", "tiny", str(file))
    assert done.exit_code == 0 and "the connection broke; it is tried again" in done.output
    assert kept(live) == DISK and len(sizes) == (3 if is_sent else 4)


def test_the_same_command_goes_on_where_it_was_stopped(live: Live, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        at_piece(patch, 2, stops, is_sent=True)
        done = vmctl("image", "add", "tiny", str(file))
        assert done.exit_code == 130 and "the same command goes on with it" in done.output
    [upload] = json.loads(said("image", "uploads", "-o", "json"))
    assert upload["parts"][0]["offset"] == 16 << 20 and "80%" in said("image", "uploads")
    sizes = at_piece(monkeypatch, 0, breaks, is_sent=True)
    done = vmctl("image", "add", "tiny", str(file))
    assert f"going on with upload {upload['id']}" in done.output and kept(live) == DISK
    assert sizes == [len(DISK) - (16 << 20)]


def test_another_file_of_that_name_goes_on_with_nothing(
    live: Live, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_piece(patch, 2, stops, is_sent=True)
        vmctl("image", "add", "tiny", str(file))
    file.write_bytes(DISK[::-1])
    assert "going on" not in vmctl("image", "add", "tiny", str(file)).output and kept(live) == DISK[::-1]
    [left] = json.loads(said("image", "uploads", "-o", "json"))
    assert "is gone" in said("image", "drop", left["id"])
    assert json.loads(said("image", "uploads", "-o", "json")) == []


def test_a_file_that_is_another_one_is_not_sent(live: Live, file: Path) -> None:
    refused = vmctl("image", "add", "tiny", str(file), "--sha256", "0" * 64).exception
    assert isinstance(refused, Refused) and "is not what was said" in refused.message
    assert json.loads(said("image", "uploads", "-o", "json")) == []


def test_what_the_controller_refuses_is_told(live: Live, file: Path) -> None:
    file.write_bytes(b"<html>" + b" " * 5000)
    refused = vmctl("image", "add", "tiny", str(file)).exception
    assert isinstance(refused, Refused) and "is a web page" in refused.message
    for task in live.controller.tasks.jobs():
        live.do(live.controller.tasks.wait(task.id))
    assert json.loads(said("image", "uploads", "-o", "json")) == [], "nothing of it is left"
    live.ask(users.AddProject("red"))
    assert isinstance(vmctl("image", "add", "tiny", str(file), "--project", "red").exception, NotAllowed)


def test_a_piece_that_is_refused_unread_is_answered_all_the_same(
    live: Live, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller reads nothing of it, the client is in the middle of sending, and nobody waits for a limit."""
    monkeypatch.setattr(limits, "BODY_LIMIT_S", 3600.0)
    request = wire.request(WritePiece("nosuch", "file", 0))._replace(body=bytes(8 << 20), kind=uploading.BYTES)
    for _ in range(5):
        with pytest.raises(NotFound, match="there is no upload 'nosuch'"):
            Client(patience_s=30.0).send(request)


def test_a_url_is_fetched_by_the_controller_where_its_settings_allow_it(live: Live, file: Path) -> None:
    refused = vmctl("image", "add", "tiny", "https://images.example.org/x.qcow2").exception
    assert isinstance(refused, Refused) and "allow_urls in [images]" in refused.hint
    kernel = vmctl("image", "add", "tiny", "https://images.example.org/x", "--kernel", str(file)).exception
    assert isinstance(kernel, Usage)
    assert isinstance(vmctl("image", "add", "tiny", "ftp://x/y").exception, Usage)


def test_who_may_not_add_images_may_not_send_them(live: Live, file: Path) -> None:
    live.do(live.controller.door.ask(users.RevokeRole("anna", "creator", "project:default"), LOCAL_USER))
    try:
        assert isinstance(vmctl("image", "add", "tiny", str(file)).exception, NotAllowed)
    finally:
        live.ask(users.GrantRole("anna", "creator", "project:default"))
