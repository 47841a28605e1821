"""The collecting channel, against a real sshd and every program."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hosts.conftest import Dial
from tests.hosts.sshd import PrivateSshd
from vmctl.errors import CommandFailed, Unreachable
from vmctl.hosts.collect import Collector, Frame, Frames
from vmctl.hosts.devices import bytes_s
from vmctl.hosts.facts import DISK, Unreadable
from vmctl.hosts.load import rates
from vmctl.hosts.programs import KINDS

UUID = f"5f0e9a52-1c5d-4d8e-9c35-{os.getpid():010x}"  # the tests that run beside these have other ones


def read(path: str) -> str:
    return Path(path).read_text()


def read_if_there(path: str) -> str:
    return read(path) if Path(path).exists() else ""


def names_in(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def kinds_of_interfaces() -> set[tuple[str, str]]:
    """What each interface of this machine is, but lo. Those of labs that are beside us come and go."""
    files = list(zip(*[iter(KINDS.split())] * 2, strict=True))
    names = names_in("/sys/class/net") - {"lo"}
    found = {name: [kind for kind, file in files if read_if_there(f"/sys/class/net/{name}/{file}")] for name in names}
    return {(name, kinds[0]) for name, kinds in found.items() if kinds}


def fake_qemu(path: Path, number: int) -> subprocess.Popen[bytes]:
    """A process that looks like one of libvirt's: a script's name is its process's name."""
    path.write_text("#!/bin/sh\nwhile read -r line; do :; done\n")
    path.chmod(0o755)
    name = f"guest=vm{number},debug-threads=on"
    return subprocess.Popen(
        [path, "-S", "-name", name, "-uuid", f"{UUID}{number:02}", "-display", "none"], stdin=subprocess.PIPE
    )


@pytest.fixture
def two_vms(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes like QEMU's; the name of one is meant to confuse."""
    started = [fake_qemu(tmp_path / "qemu-system-x86_64", 1), fake_qemu(tmp_path / "qemu (evil) x", 2)]
    time.sleep(0.05)
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("program", ["", "perl", "awk", "sh"])
async def test_every_program_tells_the_same(
    program: str, shared_sshd: PrivateSshd, dial: Dial, two_vms: list[subprocess.Popen[bytes]]
) -> None:
    collector = Collector(await dial(shared_sshd), program=program)
    before = kinds_of_interfaces()
    first = await collector.sample(5)
    stat = read("/proc/stat")
    assert first.cpus == os.cpu_count() == len(first.per_cpu)
    assert first.boot_id == read("/proc/sys/kernel/random/boot_id").strip()
    assert abs(first.uptime_s - float(read("/proc/uptime").split()[0])) < 2
    assert abs(first.wall_s - time.time()) < 3 and first.mem_total_kib > first.mem_available_kib > 0
    assert abs(first.cpu.total - sum(map(int, stat.split()[1:9]))) < 1000
    assert (first.psi_cpu is not None) == bool(read_if_there("/proc/pressure/cpu"))
    shown = {name: interface.kind for name, interface in first.interfaces.items()}
    assert (before & kinds_of_interfaces()) <= shown.items() and "lo" not in shown
    assert set(first.disks) == {name for name in names_in("/sys/block") if DISK.match(name)}
    ours = {vm.uuid: vm for vm in first.vms if vm.uuid.startswith(UUID)}
    assert {uuid: (vm.pid, vm.name) for uuid, vm in ours.items()} == {
        f"{UUID}{n:02}": (two_vms[n - 1].pid, f"vm{n}") for n in (1, 2)
    }
    one = ours[f"{UUID}01"]
    assert first.age_s(one.start_ticks) < 10  # also where /proc/uptime is a container's
    assert one.rss_kib > 100 and one.threads == 1 and one.read_bytes is not None and one.start_ticks > 0
    two_vms[0].kill()
    two_vms[0].wait()
    await asyncio.sleep(0.05)
    second = await collector.sample(5)
    assert [vm.uuid for vm in second.vms if vm.uuid.startswith(UUID)] == [f"{UUID}02"]
    assert rates(first, second) is not None
    assert all(second.disks[name] >= old for name, old in first.disks.items())
    assert before and all(bytes_s(first, second, [name]) for name in dict(before & kinds_of_interfaces()))
    collector.close()


@pytest.mark.parametrize("program", ["perl", "awk", "sh"])
async def test_daemons_of_watched_names_are_told(
    program: str, shared_sshd: PrivateSshd, dial: Dial, tmp_path: Path
) -> None:
    """One that a daemon of its own name began is not one, nor is anybody's but root's; a young one may become QEMU."""
    daemon, name = tmp_path / "fakelockd", "fakelockd"
    daemon.write_text('#!/bin/sh\nexec 3<&0\n[ "$1" ] || "$0" child <&3 &\nread -r line\n')
    daemon.chmod(0o755)
    lockd = await asyncio.create_subprocess_exec(daemon, stdin=subprocess.PIPE)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    other = await asyncio.create_subprocess_exec(
        "setpriv", "--reuid", "65534", "--clear-groups", daemon, "alone", stdin=subprocess.PIPE
    )
    collector = Collector(await dial(shared_sshd), program=program, watched=["lockd", name, "sshd"])
    told = []
    for _ in range(2):
        told.append([one for one in (await collector.sample(5)).daemons if one.name == name])
        if not told[0]:
            await asyncio.sleep(11)
    [one] = told[-1]
    assert told[0] == [] and (one.pid, one.parent) == (lockd.pid, os.getpid()) and one.threads == 1
    await lockd.communicate(b"")  # with nothing at all its input would stay open
    await other.communicate(b"")
    assert name not in {one.name for one in (await collector.sample(5)).daemons}
    collector.close()


@pytest.mark.parametrize("program", ["perl", "awk", "sh"])
async def test_a_vm_started_later_is_found(program: str, shared_sshd: PrivateSshd, dial: Dial, tmp_path: Path) -> None:
    collector = Collector(await dial(shared_sshd), program=program)
    assert not [vm for vm in (await collector.sample(5)).vms if vm.uuid.startswith(UUID)]
    late = fake_qemu(tmp_path / "qemu-kvm", 7)
    await asyncio.sleep(1.05)  # it looks for new processes once a second at most
    found = (await collector.sample(5)).vms
    late.kill()
    late.communicate()
    assert [vm.name for vm in found if vm.uuid.startswith(UUID)] == ["vm7"]


async def test_a_process_that_becomes_qemu_later_is_found(shared_sshd: PrivateSshd, dial: Dial, tmp_path: Path) -> None:
    (tmp_path / "libvirtd").write_text('#!/bin/sh\nwhile [ ! -e "${0%/*}/go" ]; do sleep 0.02; done\nexec "$@"\n')
    (tmp_path / "libvirtd").chmod(0o755)
    (tmp_path / "qemu-kvm").write_text("#!/bin/sh\nread -r line\n")
    (tmp_path / "qemu-kvm").chmod(0o755)
    child = await asyncio.create_subprocess_exec(
        tmp_path / "libvirtd", tmp_path / "qemu-kvm", "-name", "x", "-uuid", f"{UUID}09", "-S", stdin=subprocess.PIPE
    )
    collectors = [Collector(await dial(shared_sshd), program=program) for program in ("perl", "awk", "sh")]
    found = []
    for _ in range(2):
        samples = await asyncio.gather(*(collector.sample(5) for collector in collectors))
        found.append([any(vm.uuid == f"{UUID}09" for vm in sample.vms) for sample in samples])
        (tmp_path / "go").touch()
        await asyncio.sleep(1.1)
    child.kill()
    await child.communicate()
    assert found == [[False] * 3, [True] * 3]


async def test_busybox_awk_will_do(tmp_path: Path, two_vms: list[subprocess.Popen[bytes]]) -> None:
    if not shutil.which("busybox"):
        pytest.skip("no busybox")
    from vmctl.hosts.programs import command

    (tmp_path / "awk").symlink_to(shutil.which("busybox") or "")
    run = await asyncio.create_subprocess_exec(
        "sh", "-c", command("token", "awk"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    out, _ = await run.communicate(b"1\n2\n")
    assert [(frame.number, frame.text.count(UUID.encode())) for frame in Frames("token").feed(out)] == [(1, 2), (2, 2)]


async def test_noise_of_the_login_shell_is_skipped(own_sshd: PrivateSshd, dial: Dial) -> None:
    (own_sshd.home / ".bashrc").write_text("echo Welcome 'x 1 2 3'; printf '\\036'; head -c 100000 /dev/urandom\n")
    (own_sshd.home / ".profile").write_text("echo hello\n")
    collector = Collector(await dial(own_sshd))
    assert (await collector.sample(5)).cpus
    assert (await collector.sample(5)).cpus


async def test_a_login_shell_that_never_ends_says_so(own_sshd: PrivateSshd, dial: Dial) -> None:
    (own_sshd.home / ".bashrc").write_text("sleep 3\n")
    host = await dial(own_sshd)
    collector = Collector(host)
    for _ in range(4):
        with pytest.raises(Unreachable, match=r"no sample within 0\.2 s") as caught:
            await collector.sample(0.2)
        assert "rc files" in caught.value.hint
    with pytest.raises(Unreachable, match="4 collecting programs hang"):
        await collector.sample(0.2)


@pytest.mark.parametrize("command", ["yes", "head -c 3000000 /dev/zero"])
async def test_a_flood_costs_its_own_channel_only(command: str, tmp_path: Path, dial: Dial) -> None:
    sshd = PrivateSshd(tmp_path / "flood", extra=f"ForceCommand {command}").start()
    try:
        host = await dial(sshd)
        with pytest.raises(CommandFailed, match="too much noise"):
            await Collector(host).sample(5)
        with pytest.raises(CommandFailed, match="printed too much"):
            await host.run(["true"])
        assert host.connected
    finally:
        sshd.stop()


@pytest.mark.parametrize("program", ["perl", "awk", "sh"])
async def test_a_hung_program_is_left_and_ended(
    program: str, own_sshd: PrivateSshd, shared_sshd: PrivateSshd, dial: Dial
) -> None:
    ill, well = Collector(await dial(own_sshd), program=program), Collector(await dial(shared_sshd))
    before = await ill.sample(5)
    hung = own_sshd.descendants(b"boot_id")
    assert len(hung) == 1
    os.kill(hung[0], signal.SIGSTOP)

    meanwhile: list[float] = []

    async def others() -> None:
        while True:
            meanwhile.append((await well.sample(5)).uptime_s)
            await asyncio.sleep(0.02)

    beside = asyncio.create_task(others())
    with pytest.raises(Unreachable, match=r"no sample within 1 s"):
        await ill.sample(1)
    beside.cancel()
    assert len(set(meanwhile)) >= 3, "others go on while it hangs"
    assert (await ill.sample(5)).uptime_s > before.uptime_s
    assert len(own_sshd.descendants(b"boot_id")) == 1 and hung[0] not in own_sshd.descendants(b"boot_id")


async def test_a_late_answer_is_not_taken_for_the_next(own_sshd: PrivateSshd, dial: Dial) -> None:
    collector = Collector(await dial(own_sshd))
    await collector.sample(5)
    (program,) = own_sshd.descendants(b"boot_id")
    os.kill(program, signal.SIGSTOP)
    given_up = asyncio.create_task(collector.sample(5))
    await asyncio.sleep(0.1)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    asking = asyncio.create_task(collector.sample(5))
    await asyncio.sleep(0.2)
    os.kill(program, signal.SIGCONT)
    asked_at = float(read("/proc/uptime").split()[0])
    sample = await asking
    assert own_sshd.descendants(b"boot_id") == [program]
    assert sample.uptime_s >= asked_at - 0.02


async def test_a_program_that_ends_is_started_again(own_sshd: PrivateSshd, dial: Dial) -> None:
    collector = Collector(await dial(own_sshd))
    await collector.sample(5)
    (program,) = own_sshd.descendants(b"boot_id")
    asking = asyncio.create_task(collector.sample(5))
    os.kill(program, signal.SIGKILL)
    with pytest.raises(Unreachable, match="ended"):
        await asking
    assert (await collector.sample(5)).cpus


async def test_a_lost_connection_is_unreachable_until_it_is_made_again(own_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(own_sshd)
    collector = Collector(host)
    await collector.sample(5)
    own_sshd.stop()
    with pytest.raises(Unreachable):
        await collector.sample(5)
    with pytest.raises(Unreachable, match="not connected"):
        await collector.sample(5)
    own_sshd.start()
    await host.connect()
    assert (await collector.sample(5)).cpus


@given(st.lists(st.binary(max_size=30), max_size=5), st.integers(1, 20))
def test_frames_are_cut_right_wherever_the_stream_is(texts: list[bytes], step: int) -> None:
    wanted = [Frame(number, 77, text) for number, text in enumerate(texts)]
    stream = b"".join(b"\x1eT0KEN %d %d 77\n%s" % (f.number, len(f.text), f.text) for f in wanted)
    frames = Frames("T0KEN")
    found = [frame for at in range(0, len(stream), step) for frame in frames.feed(stream[at : at + step])]
    assert found == wanted


@pytest.mark.parametrize(
    "after", [b"\x1eT 1 99999999 7\n", b"\x1eT 1 2000000 7\n", b"\x1eT" + b"x" * 100, b"rubbish", b"\x1eU 1 1 1\nx"]
)
def test_what_is_no_frame_is_refused(after: bytes) -> None:
    frames = Frames("T")
    assert frames.feed(b"\x1eT 1 2 3\nab") == [Frame(1, 3, b"ab")]
    with pytest.raises(Unreadable):
        frames.feed(after)
