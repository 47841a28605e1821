"""Runs on a real machine: begun once, followed, ended, and never in doubt."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from vmctl.hosts import runlimits, runprograms, runs, sessions
from vmctl.hosts.facts import Fact
from vmctl.hosts.runs import From, Seen
from vmctl.model.replicas import HostSession

RUN, OTHER = "0a" * 16, "0b" * 16
Told = TypeVar("Told")


class Host:
    """This machine, with a folder of its own for runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = os.environ | {"VMCTL_RUNS": str(root)}

    def do(self, argv: tuple[str, ...], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(argv, input=given, capture_output=True, env=self.environment, timeout=60, check=False)

    def ask(self, fact: Fact[Told], given: bytes = b"") -> Told:
        done = self.do(fact.command, given)
        assert done.returncode == 0 and done.stderr == b"", done
        return fact.read(done.stdout.decode(), "kvm1")

    def begin(self, *words: str, run: str = RUN, given: bytes = b"", limit: int = 1024, **more: int) -> Seen:
        asked = runs.begin(run, words, "anna", input_bytes=len(given), limit_kib=limit, **more)
        return self.ask(asked, given)

    def look(self, run: str = RUN, out: int | None = None, err: int | None = None, wait_s: float = 0.0) -> Seen:
        return self.ask(runs.follow([From(run, out, err)], wait_s)).get(0) or self.ask(runs.follow([From(run)]))[0]

    def wait(self, run: str = RUN, until: Callable[[Seen], bool] = lambda seen: seen.ended) -> Seen:
        for _ in range(300):
            if until(seen := self.look(run)):
                return seen
            time.sleep(0.05)
        raise AssertionError(seen)

    def printed(self, stream: str = "out", run: str = RUN) -> bytes:
        seen = self.look(run, 0, 0)
        return {"out": seen.out, "err": seen.err}[stream]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "runs")
    yield made
    for folder in made.root.glob("*"):
        if (folder / "life").exists():
            made.do(runs.signal(folder.name, "KILL"))
    # The supervisors end with what they supervise; those that keep a folder are found by it.
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "cwd").readlink().is_relative_to(made.root)
        except OSError:
            continue
        if inside:
            os.kill(int(process.name), signal.SIGKILL)


def test_it_runs_and_its_end_is_known(host: Host) -> None:
    host.begin("sh", "-c", "cat; echo wrong >&2; exit 7", given=b"to read\n")
    seen = host.wait()
    assert (seen.code, seen.alive, seen.rebooted) == (7, False, False)
    assert seen.ended_at is not None and abs(seen.ended_at - time.time()) < 10
    assert (host.printed(), host.printed("err")) == (b"to read\n", b"wrong\n")
    assert (seen.out_bytes, seen.err_bytes) == (8, 6)


def test_no_shell_reads_its_words(host: Host) -> None:
    words = ["".join(map(chr, range(1, 128))), "", "*", "$HOME `id` \\ ' \" !x", " a  b ", "-n", "--", "\n", "ä€"]
    host.begin("printf", "%s\\0", *words)
    host.wait()
    assert host.printed() == "".join(f"{word}\0" for word in words).encode()


def test_it_knows_which_one_it_is(host: Host) -> None:
    host.ask(runs.begin(RUN, ["sh", "-c", "echo $VMCTL_JOB $VMCTL_RUN"], "job 12 run 3 of anna", limit_kib=1))
    host.wait()
    assert host.printed() == b"12 3\n"


def test_it_is_an_incarnation_of_its_own(host: Host) -> None:
    host.begin("sh", "-c", "echo $$; sleep 60")
    seen = host.wait(until=lambda seen: seen.out_bytes > 0)
    assert seen.life is not None and seen.alive
    assert host.printed() == f"{seen.life.pid}\n".encode()
    assert seen.life.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    line = Path(f"/proc/{seen.life.pid}/stat").read_text().rpartition(")")[2].split()
    assert seen.life.ticks == int(line[19])
    assert os.getsid(seen.life.pid) == seen.life.pid, "no log-in takes it along"


def test_begun_again_it_runs_once(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "file"
    begun = [
        subprocess.Popen(
            runs.begin(RUN, ["sh", "-c", f"echo once >>{file}; sleep 0.5"], "anna", limit_kib=100).command,
            env=host.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(8)
    ]
    assert [one.wait(60) for one in begun] == [0] * 8
    host.wait()
    assert host.begin("sh", "-c", f"echo once >>{file}").code == 0
    assert file.read_text() == "once\n"
    assert [folder.name for folder in host.root.glob("[!.]*")] == [RUN], "nothing is left beside"


def test_whose_input_was_cut_does_not_begin(host: Host, tmp_path: Path) -> None:
    words = ["touch", str(tmp_path / "ran")]
    done = host.do(runs.begin(RUN, words, "anna", input_bytes=9, limit_kib=9).command, b"only")
    assert (done.returncode, done.stderr) == (74, b"its input was cut\n")
    assert host.look().fate == "gone" and list(host.root.iterdir()) == []
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_run_says_so(host: Host) -> None:
    host.begin("no-such-program")
    assert host.wait().code == 127
    assert b"not found" in host.printed("err")


def test_it_prints_so_much_and_goes_on(host: Host, tmp_path: Path) -> None:
    host.begin("sh", "-c", f"seq 100000; seq 3 >&2; touch {tmp_path}/ran", limit=1)
    seen = host.wait()
    assert (seen.code, seen.out_bytes, seen.out_cut, seen.err_bytes, seen.err_cut) == (0, 1024, True, 6, False)
    assert (tmp_path / "ran").exists()


def test_exactly_as_much_as_it_may_is_not_cut(host: Host) -> None:
    host.begin("printf", "%s", "x" * 1024, limit=1)
    seen = host.wait()
    assert (seen.out_bytes, seen.out_cut) == (1024, False)


def test_its_output_is_followed_from_anywhere(host: Host) -> None:
    host.begin("sh", "-c", "printf first; sleep 1; printf second; sleep 60")
    host.wait(until=lambda seen: seen.out_bytes == 5)
    assert host.look(out=2).out == b"rst"
    began = time.monotonic()
    assert host.look(out=5, err=0, wait_s=20.0).out == b"second"
    assert time.monotonic() - began < 10
    seen = host.look(out=11, err=0, wait_s=0.3)
    assert (seen.out, seen.out_bytes, seen.alive) == (b"", 11, True)
    assert host.look(OTHER, 0, 0, wait_s=20.0).fate == "gone", "which is not waited for"


def test_many_are_followed_at_once(host: Host) -> None:
    """Who has nothing new does not hide who has; whose output nobody wants is news when it ends."""
    for number in range(6):
        host.begin("sh", "-c", f"echo {number}; sleep 60", run=f"{number:032x}")
    for number in range(6):
        host.wait(f"{number:032x}", lambda seen: seen.out_bytes == 2)
    wanted = [From(f"{number:032x}", 0 if number == 3 else 2, 0) for number in range(5)] + [From(f"{5:032x}")]
    seen = host.ask(runs.follow(wanted, 20.0))
    assert {place: one.out for place, one in seen.items()} == {3: b"3\n"}
    assert all(one.alive and one.out_bytes == 2 for one in host.ask(runs.follow(wanted)).values())
    host.do(runs.signal(wanted[5].run, "TERM"))
    seen = host.ask(runs.follow([From(one.run, 2, 0) for one in wanted[:5]] + wanted[5:], 20.0))
    assert {place: one.ended for place, one in seen.items()} == {5: True}
    assert host.ask(runs.follow([From(wanted[0].run, 2, 0)], 0.2)) == {}


def test_much_of_it_comes_in_pieces(host: Host) -> None:
    host.begin("sh", "-c", "seq 60000", limit=1024)
    seen, got = host.wait(), b""
    while len(got) < seen.out_bytes:
        piece = host.look(out=len(got)).out
        assert 0 < len(piece) <= runprograms.MOST_CHUNK
        got += piece
    assert got.decode().split() == [str(number) for number in range(1, 60001)]


def test_what_it_prints_is_bytes(host: Host) -> None:
    host.begin("sh", "-c", r"printf '\000\377\012'")
    host.wait()
    assert host.printed() == b"\0\xff\n"


def test_a_signal_reaches_all_of_it(host: Host) -> None:
    host.begin("sh", "-c", "sleep 300 & sleep 300; echo never")
    host.wait(until=lambda seen: seen.alive)
    assert host.do(runs.signal(RUN, "TERM")).returncode == 0
    assert host.wait().code == 128 + signal.SIGTERM
    assert host.printed() == b""
    assert host.do(runs.signal(RUN, "TERM")).returncode == 66, "it is gone"


def test_its_time_is_over(host: Host) -> None:
    host.begin("sleep", "60", timeout_s=1)
    seen = host.wait()
    assert (seen.code, seen.late) == (128 + signal.SIGTERM, True)


def test_its_clock_ends_with_it(host: Host) -> None:
    """It may be set to a week: nothing sleeps on for so long."""
    host.begin("true", timeout_s=54321)
    assert host.wait().late is False
    for _ in range(100):
        if not subprocess.run(["pgrep", "-fx", "sleep 54321"], capture_output=True, check=False).stdout:
            return
        time.sleep(0.05)
    raise AssertionError("it sleeps on")


def test_what_it_leaves_behind_does_not_keep_it(host: Host) -> None:
    host.begin("sh", "-c", "echo done; setsid sleep 60 & exit 3")
    began = time.monotonic()
    assert host.wait().code == 3
    assert time.monotonic() - began < 10
    assert host.printed() == b"done\n"


def test_what_has_ended_is_collected_and_what_goes_on_is_not(host: Host) -> None:
    host.begin("true")
    host.begin("sleep", "60", run=OTHER)
    host.wait()
    assert host.ask(runs.collect([RUN, OTHER, "0c" * 16])) == [OTHER]
    assert (host.look().fate, host.look(OTHER).alive) == ("gone", True)


def test_what_did_not_begin_never_will_once_it_is_collected(host: Host, tmp_path: Path) -> None:
    """Its beginning died in the middle, and may go on."""
    host.begin("true")
    host.wait()
    folder = host.root / OTHER
    (folder / "work").mkdir(0o700, parents=True)
    for name in ("supervise", "first", "in", "out", "err"):
        (folder / name).write_bytes((host.root / RUN / name).read_bytes())
    assert host.look(OTHER).fate == "open" and not host.look(OTHER).ended
    (folder / "fate").symlink_to("never - -")
    subprocess.run(["sh", "./supervise", "9", "0", "touch", str(tmp_path / "ran")], cwd=folder, check=False)
    assert host.look(OTHER).ended and not (tmp_path / "ran").exists()
    assert host.ask(runs.collect([OTHER])) == []
    assert host.look(OTHER).fate == "gone"


def keeper(host: Host, run: str = RUN) -> int:
    return int(str((host.root / run / "fate").readlink()).split()[1])


def test_who_waits_for_it_was_killed(host: Host) -> None:
    """It goes on, and how it ends nobody knows."""
    host.begin("sleep", "60")
    os.kill(keeper(host), signal.SIGKILL)
    seen = host.wait(until=lambda seen: not seen.kept)
    assert (seen.alive, seen.ended) == (True, False)
    assert host.ask(runs.collect([RUN])) == [RUN]
    host.do(runs.signal(RUN, "KILL"))
    began = time.monotonic()
    seen = host.wait(until=lambda seen: not seen.alive)
    assert (seen.ended, seen.code) == (True, None) and time.monotonic() - began < 10


def test_where_it_runs_is_its_own_and_has_what_was_put_there(host: Host, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a b").write_text("content\n")
    packed = subprocess.run(["tar", "-c", "-C", tmp_path, "given"], capture_output=True, check=True).stdout
    words = ["sh", "-c", "cat; cat 'given/a b'; echo back >made; ls"]
    host.ask(runs.begin(RUN, words, "anna", input_bytes=5, files_bytes=len(packed), limit_kib=1000), b"first" + packed)
    host.wait()
    assert host.printed() == b"firstcontent\ngiven\nmade\n"
    got = host.do(runs.fetch(RUN, "made"))
    subprocess.run(["tar", "-xz", "-C", tmp_path], input=base64.b64decode(got.stdout), check=True)
    assert (tmp_path / "made").read_text() == "back\n"
    assert host.do(runs.fetch(RUN, "nothing")).returncode != 0


def test_what_nobody_collected_is_gone_after_a_day(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what was seen of it: a clock that jumps throws nothing away."""
    faster = runprograms.SWEEP.replace("sleep 600", "sleep 0.2").replace("-ge 144", "-ge 10")
    monkeypatch.setattr(runs, "SWEEP", faster)
    began = time.monotonic()
    host.begin("true")
    host.begin("sleep", "60", run=OTHER)
    host.wait()
    sweeper = str((host.root / ".sweeper").readlink())
    os.utime(host.root / RUN / "code", (0, 0))
    host.wait(until=lambda seen: seen.fate == "gone")
    assert time.monotonic() - began > 2.0, "it was looked at ten times"
    assert host.look(OTHER).alive
    host.do(runs.signal(OTHER, "KILL"))
    host.wait(OTHER)
    assert str((host.root / ".sweeper").readlink()) == sweeper, "there is one for all"
    host.ask(runs.collect([OTHER]))
    for _ in range(100):
        if not list(host.root.iterdir()):
            return
        time.sleep(0.05)
    raise AssertionError("it goes on for nothing")


def test_a_reboot_has_ended_it(host: Host) -> None:
    host.begin("sleep", "60")
    seen, fate = host.wait(until=lambda seen: seen.alive), host.root / RUN / "fate"
    assert seen.life is not None
    process = str(fate.readlink()).split()
    fate.unlink()
    fate.symlink_to(f"another-boot {' '.join(process[1:])}")
    (host.root / RUN / "life").write_text(f"another-boot {seen.life.pid} {seen.life.ticks}\n")
    now = host.look(wait_s=20.0)
    assert (now.alive, now.rebooted, now.ended, now.code) == (False, True, True, None)
    (host.root / RUN / "life").write_text(f"{seen.life.boot_id} {seen.life.pid} {seen.life.ticks}\n")


def test_a_folder_of_somebody_elses_is_not_used(host: Host, tmp_path: Path) -> None:
    host.root.symlink_to(tmp_path)
    done = host.do(runs.begin(RUN, ["touch", str(tmp_path / "ran")], "anna", limit_kib=9).command)
    assert done.returncode == 71 and b"somebody else" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_only_its_user_may_look(host: Host) -> None:
    host.begin("true")
    host.wait()
    for path in (host.root, host.root / RUN, *(host.root / RUN).iterdir()):
        assert path.lstat().st_mode & 0o077 == 0 or path.is_symlink(), path


def test_it_gets_no_more_memory_than_its_limit(host: Host) -> None:
    """The kernel ends what wants more; of many processes together, too."""
    host.begin(sys.executable, "-c", "b = bytearray(1 << 30); print(len(b))", mem_mib=64)
    seen = host.wait()
    assert (seen.code, seen.starved, host.printed()) == (128 + signal.SIGKILL, True, b"")
    hungry = f"{sys.executable} -c 'import time; b = bytearray(40 << 20); time.sleep(1); print(1)'"
    host.begin("sh", "-c", f"{hungry} & {hungry} & {hungry} & wait", mem_mib=100, run=OTHER)
    assert host.wait(OTHER).starved and host.printed(run=OTHER).count(b"1") < 3


def test_it_gets_no_more_cpus_than_its_limit(host: Host) -> None:
    spin = (
        "import os, time; until = time.monotonic() + 2\nwhile time.monotonic() < until: pass\n"
        'os.write(1, b"%f\\n" % time.process_time())'
    )
    words = " & ".join(f"{sys.executable} -c '{spin}'" for _ in range(2))
    host.begin("sh", "-c", f"{words} & wait", cpus=1)
    host.wait()
    assert sum(map(float, host.printed().split())) < 2.7  # two cores would have given them 4 s


def test_what_fits_its_limits_is_left_alone(host: Host) -> None:
    run = secrets.token_hex(16)
    host.begin("sh", "-c", "echo $(seq 1000 | wc -l); exit 3", mem_mib=64, cpus=2, run=run)
    seen = host.wait(run)
    assert (seen.code, seen.starved, host.printed(run=run)) == (3, False, b"1000\n")
    for _ in range(100):
        if not list(Path("/sys/fs/cgroup").glob(f"**/vmctl-{run}*")):
            return
        time.sleep(0.05)
    raise AssertionError("its groups are still there")


def test_what_a_limited_one_leaves_behind_ends_with_it(host: Host) -> None:
    host.begin("sh", "-c", "setsid sleep 300 & echo $!", mem_mib=64)
    host.wait()
    left = Path("/proc", host.printed().decode().strip(), "stat")
    for _ in range(100):
        if not left.exists() or left.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("it goes on")


def test_where_limits_cannot_be_kept_it_does_not_begin(host: Host, tmp_path: Path) -> None:
    """As on a machine without control groups: there are none in these mounts."""
    words = ["touch", str(tmp_path / "ran")]
    asked = runs.begin(RUN, words, "anna", limit_kib=9, mem_mib=64)
    unmounted = 'umount -R /sys/fs/cgroup; mount -t tmpfs none /run; exec "$@"'
    inside = ("unshare", "--mount", "sh", "-c", unmounted, "sh", *asked.command)
    seen = asked.read(host.do(inside).stdout.decode(), "kvm1")
    assert (seen.fate, seen.ended) == ("never", True) and "its limits cannot be kept there" in seen.why
    assert not (tmp_path / "ran").exists()
    assert host.ask(runs.collect([RUN])) == []


def test_its_end_is_never_missed_while_it_is_looked_at(host: Host) -> None:
    """Whoever looks just as it ends sees it run, or its code: never one that ended without."""
    for number in range(40):
        run = f"{number:032x}"
        host.begin("sleep", "0.4", run=run)
        seen = host.look(run)
        while not seen.ended:
            seen = host.look(run)
        assert seen.code == 0, (number, seen)


def session(pid: int, ticks: int) -> HostSession:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return HostSession("kvm1", boot, pid, ticks, "life-1", 1.0)


def test_who_ends_the_log_in_does_not_end_it(host: Host) -> None:
    """As the next controller does: its log-in and all whose parents lead there, while its beginning is still told."""
    asked = runs.begin(RUN, ["sleep", "60"], "anna", limit_kib=1)
    with subprocess.Popen(
        asked.command, env=host.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as begins:
        while not (host.root / RUN / "life").exists():
            assert begins.poll() is None
        line = Path(f"/proc/{begins.pid}/stat").read_text().rpartition(")")[2].split()
        assert host.do(sessions.end([session(begins.pid, int(line[19]))]).command).returncode == 0
    seen = host.look()
    assert (seen.alive, seen.kept) == (True, True)


def test_no_variable_is_put_into_the_words_of_a_service() -> None:
    """As systemd.service(5) has it: $$ stands for one."""
    words = ["$HOME", "a$b$", "$$", "no", "", "${x} \n", "end\n\n"]
    program = f"""{runlimits.SERVICE}
    for word; do escape "$word"; printf '%s\\0' "$out"; done"""
    done = subprocess.run(["sh", "-c", program, "sh", *words], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [word.replace("$", "$$") for word in words]


# -- what others' users have complained about


class Small(Host):
    """The same with a file system of its own for runs, which is easily filled."""

    def __init__(self, root: Path, options: str) -> None:
        super().__init__(root)
        root.mkdir()
        mounts = f"mount -t tmpfs -o mode=700,{options} none {root} && echo ready && read -r line"
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", mounts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.holder.stdout is not None and self.holder.stdout.readline() == "ready\n"

    def do(self, argv: tuple[str, ...], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return super().do(("nsenter", "-t", str(self.holder.pid), "-m", *argv), given)

    def end(self) -> None:
        self.do(runs.signal(RUN, "KILL"))
        self.holder.communicate("")


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Small]:
    made = Small(tmp_path / "runs", request.param)
    yield made
    made.end()


FILL = "cat /dev/zero >zeros 2>/dev/null; "
MANY = "n=0; while true >file$n; do n=$((n + 1)); done 2>/dev/null; "


@pytest.mark.parametrize("small", ["size=1m,nr_inodes=60"], indirect=True)
@pytest.mark.parametrize("script", [FILL, MANY, FILL + MANY, "head -c 3000000 /dev/zero; "])
def test_its_code_is_told_where_nothing_more_can_be_written(small: Small, script: str) -> None:
    small.begin("sh", "-c", f"( {script} ); exit 3", limit=10240)
    assert small.wait().code == 3


@pytest.mark.parametrize("small", ["size=1m,nr_inodes=60"], indirect=True)
def test_it_ends_in_time_where_no_file_can_be_made(small: Small) -> None:
    small.begin("sh", "-c", f"( {MANY} ); sleep 50", timeout_s=1)
    assert small.wait().code == 128 + signal.SIGTERM


@pytest.mark.parametrize("small", ["size=8m,nr_inodes=60"], indirect=True)
def test_what_goes_on_printing_goes_on_where_no_file_can_be_made(small: Small) -> None:
    small.begin("sh", "-c", f"( {MANY} ); seq 300000; exit 5", limit=1)
    assert small.wait().code == 5


def test_whoever_may_write_little_has_what_fits(host: Host) -> None:
    fact = runs.begin(RUN, ["sh", "-c", "echo hello; exit 3"], "anna", limit_kib=10240)
    host.do(("setpriv", "--bounding-set=-all", "--inh-caps=-all", "prlimit", "--fsize=1048576", *fact.command))
    seen = host.wait()
    assert (seen.code, host.printed(), seen.out_cut) == (3, b"hello\n", False)


def test_it_hears_all_signals(host: Host) -> None:
    fact = runs.begin(RUN, ["grep", "-h", "^Sig[IB]", "/proc/self/status"], "anna", limit_kib=1)
    host.do(("env", "--default-signal", *fact.command))  # whoever runs the tests may ignore some, as by nohup
    host.wait()
    assert host.printed().decode().split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_it_has_what_its_log_in_has(host: Host) -> None:
    """Also where our own programs use a variable of that name."""
    names = "first limit id root input timeout files new mem state rest asked folder boot line began given run PWD"
    host.environment |= {name: f"own {name} '\n" for name in names.split()}
    host.begin("sh", "-c", "umask; env -0")
    host.wait()
    umask, _, rest = host.printed().decode().partition("\n")
    found = dict(one.split("=", 1) for one in rest.split("\0") if one)
    assert int(umask, 8) == current_umask()
    wrong = {name for name in names.split() if name != "PWD" and found.get(name) != f"own {name} '\n"}
    assert not wrong and found["PWD"] == str(host.root / RUN / "work")


def current_umask() -> int:
    before = os.umask(0o077)
    os.umask(before)
    return before


ODD = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'a\\nb) S 1', 0, 0, 0); time.sleep(60)"


def test_one_with_line_ends_in_its_name_can_be_ended(host: Host) -> None:
    host.begin(sys.executable, "-c", ODD)
    comm = Path(f"/proc/{(life := host.wait(until=lambda seen: seen.alive).life) and life.pid}/comm")
    for _ in range(100):
        if b"\n" in comm.read_bytes()[:-1]:
            break
        time.sleep(0.05)
    assert host.look().alive
    assert host.do(runs.signal(RUN, "TERM")).returncode == 0
    assert host.wait().code == 128 + signal.SIGTERM


def test_who_cleans_up_by_age_leaves_it_alone(host: Host, tmp_path: Path) -> None:
    """Its folder is locked as long as it runs, by its keeper alone."""
    host.begin("sleep", "60")
    host.wait(until=lambda seen: seen.alive)
    locked = ("flock", "--nonblock", str(host.root / RUN), "true")
    assert host.do(locked).returncode == 1
    host.do(runs.signal(RUN, "KILL"))
    host.wait()
    assert host.do(locked).returncode == 0


def test_its_end_waits_for_whoever_reads_its_output(host: Host) -> None:
    """Both readers: the other one has long ended."""
    host.begin("sh", "-c", "sleep 1; head -c 60000 /dev/zero")
    host.wait(until=lambda seen: seen.alive)
    [reader] = [
        int(process.parent.name)
        for process in Path("/proc").glob("[0-9]*/fd")
        if _writes(process, host.root / RUN / "out") and (process.parent / "comm").read_text() == "cat\n"
    ]
    os.kill(reader, signal.SIGSTOP)
    host.wait(until=lambda seen: not seen.alive)
    assert host.look().code is None
    os.kill(reader, signal.SIGCONT)
    assert (host.wait().code, host.look().out_bytes) == (0, 60000)


def _writes(folder: Path, file: Path) -> bool:
    try:
        return (folder / "1").readlink() == file
    except OSError:
        return False


@pytest.mark.parametrize(
    "made",
    [
        "echo 0 1 2 3 >code",
        "echo 7 >code",
        "echo 300 5 >code",
        "echo 99999999999999999999 nan >code",
        "mkfifo code",
        "rm life; mkfifo life",
        "echo x y z >life",
        "echo boot 1 $(head -c 5000 /dev/zero | tr '\\0' 1) >life",
        "ln -sfn 'a b c d' fate",
        "rm fate; mkdir fate",
    ],
)
def test_what_its_user_writes_into_its_folder_can_be_read(host: Host, made: str) -> None:
    sleeps = f"sleep {1000 + secrets.randbelow(1 << 24)}"  # another one than those of tests beside this
    host.begin("sh", "-c", f"cd ..; {made}; exec {sleeps}")
    time.sleep(0.5)
    seen = host.look()
    assert seen.code in (None, 0, 7) and seen.fate == "began"
    host.do(runs.signal(RUN, "KILL"))
    subprocess.run(["pkill", "-KILL", "-fx", sleeps], check=False)
    time.sleep(0.5)
    host.look()
    host.ask(runs.collect([RUN]))


def test_what_it_left_read_only_is_collected(host: Host) -> None:
    """By an ordinary user, as root is without what makes him root."""
    user = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    made = ["sh", "-c", "mkdir -p a/b && touch a/b/c && chmod 555 a/b a"]
    host.do((*user, *runs.begin(RUN, made, "anna", limit_kib=1).command))
    assert host.wait().code == 0
    assert host.do((*user, *runs.collect([RUN]).command)).stdout == b"" and not (host.root / RUN).exists()


@pytest.mark.parametrize(
    ("life", "sound"),
    [("b 2 5", True), ("open - -", True), ("b 1 5", False), ("b 0 5", False), ("b -1 5", False), ("b 5 -", False)],
)
def test_no_run_is_process_1(life: str, sound: bool) -> None:
    """Whoever would signal the group of that one would signal all processes."""
    asked = ("sh", "-c", runprograms.LIVES + "entire $1", "sh", life)
    assert (subprocess.run(asked, check=False).returncode == 0) is sound
