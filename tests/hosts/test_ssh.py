"""The connection to a host, against a real sshd."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hosts.conftest import TIMEOUTS, Dial
from tests.hosts.sshd import PrivateSshd, free_port, public_of
from vmctl.errors import CommandFailed, HostKeyChanged, NotAllowed, Refused, Unreachable, Usage
from vmctl.hosts.collect import Collector
from vmctl.hosts.ssh import HostSSH, Reader, Target, Writer, backoff, ensure_key, explain, read_host_key
from vmctl.hosts.ssh.quoting import network_error
from vmctl.hosts.ssh.script import Marked
from vmctl.local.config import Timeouts


@asynccontextmanager
async def echo_server(path: Path) -> AsyncIterator[None]:
    """A unix socket that answers what it is told."""
    writers: list[asyncio.StreamWriter] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    server = await asyncio.start_unix_server(echo, path)
    yield
    server.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()


async def says(reader: Reader, writer: Writer, text: bytes) -> bytes:
    """What comes back for a line."""
    writer.write(text + b"\n")
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()
    return line.rstrip()


async def test_a_command_runs_with_its_words_and_input(shared_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(shared_sshd)
    ran = await host.run(["sh", "-c", 'cat; printf "%s|" "$@" >&2; exit 3', "sh", "a b", ""], stdin=b"in", check=False)
    assert (ran.status, ran.out, ran.err) == (3, "in", "a b||")


async def test_a_connection_that_is_lost_as_a_session_begins_is_unreachable(
    own_sshd: PrivateSshd, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncssh clears its session when the connection is lost, and then calls it (seen with 2.x)."""
    host = await dial(own_sshd)
    connection = host._live()

    async def begins(*_: object, **__: object) -> NoReturn:
        own_sshd.stop()
        connection.abort()
        await connection.wait_closed()
        raise AttributeError("'NoneType' object has no attribute 'session_started'")

    monkeypatch.setattr(connection, "create_session", begins)
    with pytest.raises(Unreachable):
        await host.run(["true"])


async def test_a_failing_command_says_why(shared_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(shared_sshd)
    with pytest.raises(CommandFailed, match=r"kvm1: `ls /nowhere` exited 2: .*No such file"):
        await host.run(["ls", "/nowhere"])
    with pytest.raises(CommandFailed, match="killed by a signal"):
        await host.run(["sh", "-c", "kill -9 $$"])


async def test_nasty_words_execute_nothing(shared_sshd: PrivateSshd, dial: Dial, tmp_path: Path) -> None:
    host = await dial(shared_sshd)
    bait = tmp_path / "bait"
    shapes = [
        "; touch {0} ;", "$(touch {0})", "`touch {0}`", "| touch {0}", "&& touch {0}", "\n touch {0}\n",
        "'; touch {0}; '",
        '"; touch {0}; "', "\\'; touch {0}; \\'", "$'\\x27; touch {0}'", "${{IFS}}touch {0}", "> {0}", "<(touch {0})",
        "!touch {0}", "-e touch {0}", "\r touch {0}", "~$(touch {0})", "*", "#$(touch {0})",
        "%s$(touch {0})", "\\\n; touch {0}",
    ]  # fmt: skip
    words = [
        f"{mark}{shape.format(bait)}{mark}"
        for shape in shapes
        for mark in (*"abcde'\"\\$ `;|&<>()!", "\n", "é", "☃", "\t", "%")
    ]
    assert len(words) >= 500
    for start in range(0, len(words), 50):
        some = words[start : start + 50]
        ran = await host.run(["printf", "%s\\0", *some])
        assert ran.out.split("\0")[:-1] == some
    assert not bait.exists()
    with pytest.raises(Usage):
        await host.run(["echo", "a\0b"])


async def test_output_is_bounded(shared_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(shared_sshd)
    with pytest.raises(CommandFailed, match="printed too much"):
        await host.run(["yes"], max_bytes=1 << 20)
    assert (await host.run(["echo", "still here"])).out == "still here\n"


async def test_a_hung_command_times_out_alone(shared_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(shared_sshd)
    slow, quick = asyncio.create_task(host.run(["sleep", "2"], timeout_s=0.2)), await host.run(["echo", "x"])
    assert quick.out == "x\n"
    with pytest.raises(Unreachable, match=r"did not finish in time: `sleep 2` within 0\.2 s"):
        await slow


async def test_no_more_than_eight_commands_at_once(shared_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(shared_sshd)
    ran = await asyncio.gather(*(host.run(["sh", "-c", f"sleep 0.02; echo {n}"]) for n in range(30)))
    assert [each.out for each in ran] == [f"{n}\n" for n in range(30)]


async def test_cancelling_a_command_is_not_swallowed(shared_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(shared_sshd)
    task = asyncio.create_task(host.run(["sleep", "2"]))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_changed_host_key_is_refused_and_nothing_is_sent(own_sshd: PrivateSshd, dial: Dial) -> None:
    pinned = own_sshd.host_key
    old = await read_host_key("127.0.0.1", own_sshd.port, 5)
    own_sshd.stop()
    own_sshd.new_host_key()
    own_sshd.start()
    new = await read_host_key("127.0.0.1", own_sshd.port, 5)
    (own_sshd.directory / "log").write_text("")
    with pytest.raises(HostKeyChanged) as caught:
        await dial(own_sshd, host_key=pinned)
    assert old.fingerprint in caught.value.message and new.fingerprint in caught.value.message
    assert old.fingerprint != new.fingerprint and public_of(own_sshd.host_key) == new.public
    log = (own_sshd.directory / "log").read_text()
    assert "Accepted" not in log and "user" not in log and "authenticating" not in log


async def test_a_host_without_the_pinned_kind_of_key_is_refused_too(
    shared_sshd: PrivateSshd, dial: Dial, tmp_path: Path
) -> None:
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "ecdsa")]
    await asyncio.to_thread(lambda: subprocess.run(command, check=True))
    with pytest.raises(HostKeyChanged, match=r"pinned SHA256:.*shown SHA256:"):
        await dial(shared_sshd, host_key=(tmp_path / "ecdsa.pub").read_text())


async def test_refused_login_names_the_next_command(own_sshd: PrivateSshd, dial: Dial) -> None:
    (own_sshd.directory / "authorized_keys").write_text("")
    with pytest.raises(NotAllowed) as caught:
        await dial(own_sshd)
    assert caught.value.hint == f"ssh-copy-id -p {own_sshd.port} -i {own_sshd.key}.pub root@127.0.0.1"


async def test_nobody_there_and_silence_are_unreachable(own_sshd: PrivateSshd) -> None:
    target = own_sshd.target(port=free_port())
    with pytest.raises(Unreachable, match="kvm1 cannot be reached"):
        await HostSSH(target, [own_sshd.key], TIMEOUTS).connect()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        brief = Timeouts(ssh_connect_s=0.2)
        with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
            await HostSSH(own_sshd.target(port=port), [own_sshd.key], brief).connect()
        with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
            await read_host_key("127.0.0.1", port, 0.2)


async def test_an_endless_banner_is_refused() -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:
                writer.write(b"A" * 65536)
                await writer.drain()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    with pytest.raises(Unreachable):
        await read_host_key("127.0.0.1", server.sockets[0].getsockname()[1], 2)
    server.close()


async def test_a_restarted_sshd_is_noticed_and_connected_to_again(own_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(own_sshd)
    running = asyncio.create_task(host.run(["sleep", "5"]))
    await asyncio.sleep(0.2)
    own_sshd.stop()
    assert await asyncio.wait_for(host.wait_closed(), 5)
    with pytest.raises(Unreachable, match="lost while `sleep 5` ran"):
        await running
    assert not host.connected
    with pytest.raises(Unreachable, match="not connected"):
        await host.run(["true"])
    with pytest.raises(Unreachable):
        await host.connect()
    own_sshd.start()
    await host.connect()
    assert (await host.run(["echo", "again"])).out == "again\n"


async def test_a_frozen_connection_is_lost_by_keepalive(own_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(own_sshd, Timeouts(ssh_connect_s=5, ssh_keepalive_s=0.1, ssh_keepalive_count=2, command_s=5))
    for pid in own_sshd.children():
        os.kill(pid, signal.SIGSTOP)
    assert "keepalive" in await asyncio.wait_for(host.wait_closed(), 3)


async def test_a_socket_of_the_host_appears_here(shared_sshd: PrivateSshd, dial: Dial, tmp_path: Path) -> None:
    host = await dial(shared_sshd)
    there, here = tmp_path / "there", tmp_path / "run" / "here"
    async with echo_server(there):
        listener = await host.forward_to_local(str(there), here)
        assert here.parent.stat().st_mode & 0o777 == 0o700
        assert await says(*await asyncio.open_unix_connection(here), b"hello") == b"hello"
        await listener.close()
        assert not here.exists()
        await host.forward_to_local(str(there), here)
        await host.close()
        assert not here.exists()


async def test_forwarding_refuses_what_is_unsafe_or_absent(
    shared_sshd: PrivateSshd, dial: Dial, tmp_path: Path
) -> None:
    host = await dial(shared_sshd)
    with pytest.raises(CommandFailed, match="no-such"):
        await host.forward_to_local("/no-such", tmp_path / "run" / "here")
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(Refused, match="mode 0700"):
        await host.forward_to_local("/no-such", tmp_path / "open" / "here")
    with pytest.raises(Usage, match="too long"):
        await host.forward_to_local("/no-such", tmp_path / ("x" * 120))


async def test_a_socket_of_ours_appears_on_the_host(shared_sshd: PrivateSshd, dial: Dial, tmp_path: Path) -> None:
    host = await dial(shared_sshd)
    here, there = tmp_path / "here", tmp_path / "there"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(there))
    async with echo_server(here):
        listener = await host.offer(str(there), here)
        assert await says(*await asyncio.open_unix_connection(there), b"hello") == b"hello"
        with pytest.raises(Refused, match="listens on"):
            await (await dial(shared_sshd)).offer(str(there), here)
        await listener.close()
        assert not there.exists()
    with pytest.raises(NotAllowed):
        await host.offer("/no-such-directory/socket", here)


async def test_a_socket_is_opened_as_a_stream(shared_sshd: PrivateSshd, dial: Dial, tmp_path: Path) -> None:
    host = await dial(shared_sshd)
    async with echo_server(tmp_path / "serial"):
        assert await says(*await host.open_unix(str(tmp_path / "serial")), b"line") == b"line"


async def test_a_stream_breaks_with_its_connection(own_sshd: PrivateSshd, dial: Dial, tmp_path: Path) -> None:
    host = await dial(own_sshd)
    async with echo_server(tmp_path / "serial"):
        reader, _ = await host.open_unix(str(tmp_path / "serial"))
        for pid in own_sshd.children():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(Unreachable, match="reading the socket"):
            await asyncio.wait_for(reader.read(10), 5)


SHELLS = ["bash", "dash", "fish", "tcsh", "busybox sh"]


@asynccontextmanager
async def with_shell(directory: Path, shell: str, dial: Dial) -> AsyncIterator[HostSSH]:
    """A host whose login shell is that one, and prints before it runs a command."""
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"no {shell}")
    sshd = PrivateSshd(directory, extra=f'ForceCommand exec {shell} -c "$SSH_ORIGINAL_COMMAND"')
    (sshd.home / ".config/fish").mkdir(parents=True)
    for name in (".bashrc", ".config/fish/config.fish", ".tcshrc"):
        (sshd.home / name).write_text("echo NOTICE: authorised use only; uptime\n")
    try:
        yield await dial(sshd.start())
    finally:
        sshd.stop()


@pytest.mark.parametrize("shell", SHELLS)
async def test_any_login_shell_will_do_and_may_talk(shell: str, tmp_path: Path, dial: Dial) -> None:
    """Words, input, output and status go past it, whatever its own language is."""
    words = ["a b", "", "'", '"', "\\", "\n", "!x", "$HOME", "*", "é", "#", "\\'; exit"]
    async with with_shell(tmp_path / "sshd", shell, dial) as host:
        ran = await host.run(
            ["sh", "-c", 'cat; printf "%s|" "$@" >&2; exit 3', "sh", *words], stdin=b"i\0n", check=False
        )
        assert (ran.status, ran.out, ran.err) == (3, "i\0n", "".join(f"{word}|" for word in words))
        assert (await host.run(["cat"])).out == ""
        assert (await Collector(host).sample(5)).cpus


async def test_long_input_reaches_the_command_and_no_shell(shared_sshd: PrivateSshd, dial: Dial) -> None:
    host = await dial(shared_sshd)
    data = b"touch /nowhere/at/all\n" * 100_000
    assert (await host.run(["wc", "-c"], stdin=data)).out.strip() == str(len(data))


@pytest.mark.parametrize("forced", ["/bin/true", "echo This account is currently not available."])
async def test_a_forced_command_is_named(forced: str, tmp_path: Path, dial: Dial) -> None:
    sshd = PrivateSshd(tmp_path / "sshd", extra=f"ForceCommand {forced}").start()
    try:
        host = await dial(sshd)
        for attempt in (host.run(["true"]), Collector(host).sample(5)):
            with pytest.raises(CommandFailed, match="runs something else than our commands") as caught:
                await attempt
            assert "ForceCommand" in caught.value.hint
            assert "currently not available" in caught.value.message or forced == "/bin/true"
    finally:
        sshd.stop()


@given(st.binary(max_size=50), st.binary(max_size=50), st.integers(1, 20))
def test_what_follows_the_mark_is_told_from_what_precedes_it(noise: bytes, own: bytes, step: int) -> None:
    marked, stream = Marked("M4RK"), noise + b"M4RK" + own
    found = b"".join(marked.feed(stream[at : at + step]) for at in range(0, len(stream), step))
    assert found == own and marked.begun and marked.noise == noise


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EHOSTUNREACH, "no route to 10.0.0.9"), (errno.ECONNREFUSED, "nothing listens there")],
)
def test_why_an_address_is_not_reached_is_told_in_words(number: int, words: str) -> None:
    assert network_error(OSError(number, "Connect call failed ('10.0.0.9', 22)"), "10.0.0.9") == words
    several = OSError(f"Multiple exceptions: [Errno {number}] Connect call failed ('::1', 22), [Errno {number}] ...")
    assert network_error(several, "10.0.0.9") == words
    assert network_error(socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "x") == "no such name"
    assert network_error(OSError("odd"), "x") == "odd"


def test_a_name_of_ssh_config_is_explained(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host pve-east\n HostName 10.0.0.14\n User admin\n Port 2222\n"
        "Host pve-v6\n HostName fd00::14\nHost pve-west\n HostName 10.1.0.5\n ProxyJump gate.example.org\n"
    )
    err = Unreachable("pve-east port 22 cannot be reached: no such name", hint="?")
    found = explain(err, "pve-east", "pve-east", config)
    assert "which vmctl does not read" in found.message and "no such name" in found.message
    assert found.hint == "vmctl host add pve-east=10.0.0.14:2222 --user admin"
    assert explain(err, "p", "pve-v6", config).hint.startswith("vmctl host add p=fd00::14")
    jumping = explain(err, "pve-west", "pve-west", config)
    assert "through gate.example.org" in jumping.message and "10.1.0.5 port 22" in jumping.hint
    assert explain(err, "other", "other", config) is err
    assert explain(err, "odd", "-oProxyCommand=touch /nowhere", config) is err


def test_our_key_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    first = ensure_key(tmp_path / "deep" / "id")
    assert first == ensure_key(tmp_path / "deep" / "id") and first.startswith("ssh-ed25519 ")
    assert (tmp_path / "deep" / "id").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "deep" / "id.pub").read_text() == first + "\n"
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["id", "id.pub"]
    (tmp_path / "bad").write_text("rubbish")
    with pytest.raises(NotAllowed):
        ensure_key(tmp_path / "bad")


@pytest.mark.parametrize(
    ("held", "words"), [(b"", "is empty"), (b"\0" * 399, "is empty"), (b"-----BEGIN OPENSSH PRIV", "no whole key")]
)
def test_a_key_that_a_power_cut_broke_is_told_and_left(tmp_path: Path, held: bytes, words: str) -> None:
    (tmp_path / "id").write_bytes(held)
    with pytest.raises(NotAllowed, match=words) as caught:
        ensure_key(tmp_path / "id")
    assert caught.value.hint == f"mv {tmp_path}/id {tmp_path}/id.broken"
    assert (tmp_path / "id").read_bytes() == held and len(list(tmp_path.iterdir())) == 1


def test_a_key_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def fsync(number: int) -> None:
        synced.append(
            str(Path(f"/proc/self/fd/{number}").readlink()) + (" named" if (tmp_path / "id").exists() else "")
        )

    monkeypatch.setattr(os, "fsync", fsync)
    ensure_key(tmp_path / "id")
    assert synced == [f"{tmp_path}/id.{os.getpid()}", f"{tmp_path} named"]
    assert {path.name for path in tmp_path.iterdir()} == {"id", "id.pub"}


async def test_a_pinned_key_must_be_a_good_one() -> None:
    for key in ("", "rubbish", "ssh-ed25519 AAAA"):
        with pytest.raises(Usage):
            await HostSSH(Target("kvm1", "127.0.0.1", host_key=key), [], Timeouts()).connect()


def test_waiting_doubles_up_to_half_a_minute() -> None:
    assert all(0.25 <= backoff(0) <= 0.5 for _ in range(100))
    assert all(15 <= backoff(50) <= 30 for _ in range(100))
