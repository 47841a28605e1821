"""What the command line makes of what runs print, of how they end, and of files that they left."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path
from typing import Any, cast

import pytest

from vmctl import errors
from vmctl.cli import follow, jobs
from vmctl.cli.client import Client


class Streams:
    """A controller that answers with streams of lines, one after the other; each may break."""

    elsewhere = True

    def __init__(self, *streams: list[dict[str, Any] | Exception], job: dict[str, Any]) -> None:
        self.streams, self.job = list(streams), job
        self.after: list[str] = []

    def lines(self, asked: Any, *, start: bool) -> Any:
        self.after.append(asked.after)
        for item in self.streams.pop(0):
            if isinstance(item, Exception):
                raise item
            yield item

    def ask(self, _asked: Any) -> dict[str, Any]:
        return self.job | {"state": "running" if self.streams else "done"}


def job(*runs: dict[str, Any], **more: Any) -> dict[str, Any]:
    each = [
        {"number": n, "host": "kvm1", "code": 0, "late": False, "starved": False} | one for n, one in enumerate(runs, 1)
    ]
    bad = sum(one["code"] != 0 for one in each)
    args = {"hosts": ["kvm1"], "count": 1}
    found = {"id": 7, "state": "done", "args": args, "each": each, "runs": len(each), "bad": bad, "error": {}}
    return found | {"outcome": "as it ended"} | more


def printed(data: bytes, out: int, run: int = 1, host: str = "kvm1", stream: str = "out") -> dict[str, Any]:
    sizes = {"out": out, "err": 0} if stream == "out" else {"out": 0, "err": out}
    return {"run": run, "tries": 1, "host": host, "what": stream, "data": base64.b64encode(data).decode()} | sizes


def ended(code: int, run: int = 1, host: str = "kvm1") -> dict[str, Any]:
    told = {"run": run, "tries": 1, "host": host, "what": "end", "data": f"exit code {code}", "code": code}
    return told | {"out": 0, "err": 0}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "AGAIN_S", 0.0)


def read(client: Streams, form: str = "table", **more: Any) -> jobs.Reader:
    reader = jobs.Reader(cast(Client, client), client.job, form, 0, **more)
    reader.read(wait=True)
    reader.finish()
    return reader


def test_one_runs_output_is_its_own(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    read(Streams([printed(b"a\xff\nb", 4), printed(b"no", 2, stream="err"), ended(0)], job=job({})))
    assert capfdbinary.readouterr() == (b"a\xff\nb", b"no")


def test_it_reads_on_where_it_was(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Also where whoever asked for us began anew at another controller."""
    lost = errors.ControllerUnreachable("it went away")
    client = Streams(
        [printed(b"1\n2\n", 4), lost], [printed(b"1\n2\n3\n", 6), printed(b"4\n", 8), ended(0)], job=job({})
    )
    read(client)
    out, err = capfdbinary.readouterr()
    assert (out, client.after) == (b"1\n2\n3\n4\n", ["", "1:1:4:0"])
    assert err == b"the connection was lost; job 7 goes on\n"


def test_many_are_told_apart_line_by_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    asked = {"everywhere": True, "hosts": [], "count": 1}
    items = [
        printed(b"half", 4),
        printed(b"x\n", 2, 2, "kvm2"),
        printed(b" line\nrest", 14),
        ended(0),
        ended(3, 2, "kvm2"),
    ]
    read(Streams([*items, ended(3, 2, "kvm2")], job=job({}, {"host": "kvm2", "code": 3}, args=asked)))
    out, err = capfdbinary.readouterr()
    assert out == b"kvm2: x\nkvm1: half line\nkvm1: rest\n"
    assert err == b"kvm2: exit code 3\n2 runs: 1 done, 1 failed\n", "each is told once"


def test_many_without_their_names(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    asked = {"everywhere": True, "hosts": [], "count": 1}
    read(Streams([printed(b"a\n", 2), printed(b"b\n", 2, 2, "kvm2")], job=job({}, {}, args=asked)), bare=True)
    assert capfdbinary.readouterr()[0] == b"a\nb\n"


def test_a_program_gets_it_whole(capsys: pytest.CaptureFixture[str]) -> None:
    reader = read(Streams([printed(b"a\xff", 2), ended(0)], job=job({})), "json")
    assert (reader.job["each"][0]["out"], reader.job["each"][0]["err"]) == ("a\ufffd", "")
    assert '"out": "a\\ufffd"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (job({"code": 7}), 7),
        (job({"code": 137, "starved": True}), 137),
        (job({"code": None}), errors.Uncertain.exit_code),
        (job({"code": 0}, {"code": 1}), errors.PartlyFailed.exit_code),
        (job({}, error={"code": "NoHostFits", "message": "no", "lines": [], "hint": ""}), errors.NoHostFits.exit_code),
    ],
)
def test_it_ends_as_its_job_ended(found: dict[str, Any], code: int) -> None:
    with pytest.raises((SystemExit, errors.VmctlError)) as ends:
        jobs.end_as(found)
    assert getattr(ends.value, "exit_code", None) == code or getattr(ends.value, "code", None) == code


def test_a_good_one_ends_well() -> None:
    jobs.end_as(job({}))


def archive(*members: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as packed:
        for member in members:
            member.size = 3 if member.isreg() else 0
            packed.addfile(member, io.BytesIO(b"xyz"))
    return made.getvalue()


def member(name: str, **more: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(found, key, value)
    return found


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up"])
def test_nothing_is_written_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.Refused, match="outside"):
        jobs._unpack(archive(member("good"), member(name)), tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_what_is_no_file_and_no_folder_is_left_out(tmp_path: Path) -> None:
    link = member("link", type=tarfile.SYMTYPE, linkname="/etc")
    made = jobs._unpack(archive(link, member("link/passwd"), member("tool", mode=0o4755)), tmp_path)
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "link" / "passwd").read_bytes() == b"xyz"
    assert (tmp_path / "tool").stat().st_mode & 0o7777 == 0o755
    assert made == [str(tmp_path / "link/passwd"), str(tmp_path / "tool")]


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "made").write_text("mine")
    with pytest.raises(errors.Refused, match="is there already"):
        jobs._unpack(archive(member("new"), member("made")), tmp_path)
    assert (tmp_path / "made").read_text() == "mine" and not (tmp_path / "new").exists()
