"""Jobs on real hosts: `vmctl run` by its command line, looked at past vmctl."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.pool import Pool, wait_for
from vmctl import lab
from vmctl.local import lock, paths

pytestmark = pytest.mark.lab
COUNT = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; sleep 1; done; echo line >>/shared/jobs; exit 7"


@pytest.fixture
def file(pool: Pool) -> Iterator[Path]:
    """What jobs write: each line once."""
    pool.ssh(pool.hosts[0], "rm -f /shared/jobs")
    yield Path("/shared/jobs")
    pool.ssh(pool.hosts[0], "rm -f /shared/jobs")


def attended(*words: str) -> subprocess.Popen[str]:
    """`vmctl run` as a user types it: one who runs these tests in the background has Ctrl-C ignored."""
    command = ["env", "--default-signal=INT", sys.executable, "-m", "vmctl.cli.main", "run", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends(one: subprocess.Popen[str]) -> tuple[int, str]:
    out, _err = one.communicate(timeout=90)
    return one.returncode, out


def kill_controller() -> None:
    process = lock.holder(paths.lock_path())
    assert process
    os.kill(process, signal.SIGKILL)


def test_the_controller_dies_its_session_is_killed_and_its_code_is_told(pool: Pool, file: Path) -> None:
    one = attended("--on", pool.hosts[0], "--", "sh", "-c", COUNT)
    time.sleep(5)
    kill_controller()
    time.sleep(5)
    killed = pool.ssh(pool.hosts[0], "pkill -KILL -f 'sshd: root@' ; echo done", check=False)
    assert "done" in killed or killed == ""  # it may have been this one
    code, out = ends(one)
    assert (code, out.split()) == (7, [str(number) for number in range(1, 13)])
    assert pool.ssh(pool.hosts[0], f"cat {file}") == "line\n"
    (job,) = [job for job in pool.do("job", "list", "-o", "json").json if job["command"].startswith("sh -c for i")]
    assert (job["state"], job["outcome"]) == ("done", "exit code 7")


def test_it_gets_no_more_memory_than_it_was_promised(pool: Pool) -> None:
    host = pool.hosts[1]
    ran = pool("run", "--on", host, "--memory", "64M", "--", "perl", "-e", "$x = 'x' x (1 << 30); print length $x")
    assert (ran.code, ran.out) == (137, "")
    assert "it wanted more memory than its limit" in ran.err
    ran = pool("run", "--on", host, "--memory", "64M", "--cpus", "1", "--", "cat", "/proc/self/cgroup")
    assert ran.code == 0 and "memory:/vmctl-" in ran.out and "cpu:/vmctl-" in ran.out


def test_its_promise_keeps_others_away(pool: Pool) -> None:
    job = pool.do("run", "--detach", "-o", "name", "--memory", "2G", "--count", "3", "--", "sleep", "60").out.strip()
    try:
        wait_for(lambda: pool.do("job", "show", job, "-o", "json").json["ended"] == 0, 10, "it runs")
        refused = pool("run", "--memory", "2G", "--", "true")
        assert refused.code == 3 and "memory: needs 2048 MiB" in refused.err
        queued = attended("--memory", "2G", "--queue", "--", "echo", "room")
        time.sleep(2)
        assert queued.poll() is None
    finally:
        pool("job", "cancel", job)
    assert ends(queued) == (0, "room\n")


def test_two_hundred_at_once(pool: Pool, file: Path) -> None:
    """Each is begun once, and each has its own exit code."""
    began = time.monotonic()
    numbers = []
    script = f"echo $1 >>{file}; sleep 3; exit $(($1 % 100))"
    for turn in range(4):  # so many clients
        group = [
            attended("--detach", "-o", "name", "--on", pool.hosts[n % 3], "--", "sh", "-c", script, "sh", str(n))
            for n in range(50 * turn, 50 * turn + 50)
        ]
        numbers += [ends(one)[1].strip() for one in group]
    assert len(set(numbers)) == 200
    for n, number in enumerate(numbers):
        ran = pool("job", "wait", number)
        assert ran.code == n % 100, (n, ran)
    written = sorted(map(int, pool.ssh(pool.hosts[0], f"cat {file}").split()))
    assert written == list(range(200)), time.monotonic() - began


SERVES = "import socket; s = socket.create_server(('0.0.0.0', 7777)); s.accept()"


def test_its_process_is_found_by_its_name(pool: Pool) -> None:
    """Who it is, what it uses, and who listens there: while it runs, and when it has ended."""
    host = pool.hosts[0]
    job = pool.do("run", "--detach", "-o", "name", "--on", host, "--", "python3", "-c", SERVES).out.strip()

    def lives(*options: str) -> list[dict[str, Any]]:
        found = pool.do("ps", "--jobs", *options, "-o", "json").json
        return [life for life in found if life["command"].startswith(f"job {job} run 1: python3")]

    [life] = wait_for(lambda: (found := lives()) and found[0]["port"] and found, 30, "it is in the ledger")
    pid = int(pool.ssh(host, "pgrep -f '^python3 -c import socket'"))
    assert (life["machine"], life["pid"], life["program"], life["user"]) == (host, pid, "python3", "root")
    assert pool.do("job", "show", job, "-o", "json").json["each"][0]["process"] == life["uuid"]
    shown = pool.do("process", "show", life["uuid"], "-o", "json").json
    assert shown["valid"] and shown["rss_kib"] > 4000 and shown["port"] == 7777
    assert [one["uuid"] for one in pool.do("who", f"{life['ip']}:7777", "-o", "json").json] == [life["uuid"]]
    pool.ssh(host, f"kill {pid}")
    assert pool("job", "wait", job).code == 143
    wait_for(lambda: not lives(), 30, "its end is seen")
    [ended] = lives("--history")
    assert (ended["uuid"], ended["why"], ended["valid"]) == (life["uuid"], "exit seen", False)


def test_a_short_one_has_a_name_too(pool: Pool) -> None:
    pool.do("run", "--on", pool.hosts[1], "--", "true")
    [job] = pool.do("job", "list", "--most", "1", "-o", "json").json
    process = pool.do("job", "show", str(job["id"]), "-o", "json").json["each"][0]["process"]
    wait_for(lambda: pool("process", "show", process).code == 0, 20, "it is in the ledger")
    assert f"job {job['id']} run 1: true" in pool.do("process", "show", process).out


def test_daemons_of_hosts_are_known(pool: Pool) -> None:
    host = pool.hosts[1]
    found = {life["program"]: life for life in pool.do("ps", host, "-o", "json").json if life["program"] != "qemu"}
    assert {"sshd", "libvirtd", "virtlockd", "virtlogd"} <= found.keys()
    assert found["virtlockd"]["pid"] == int(pool.ssh(host, "pidof virtlockd"))
    whose = wait_for(lambda: (ran := pool("who", f"{found['sshd']['ip']}:22")).code == 0 and ran.out, 20, "who")
    assert "sshd" in whose


def test_its_host_is_rebooted(pool: Pool) -> None:
    host = pool.hosts[2]
    one = attended("--on", host, "--", "sh", "-c", "echo begun; sleep 600")
    wait_for(lambda: "sleep 600" in pool.ssh(host, "ps -eo args"), 20, "it runs")
    [life] = wait_for(lambda: pool.do("ps", host, "--jobs", "-o", "json").json, 20, "it is in the ledger")
    lab.kill(host)
    lab.boot(host)
    code, out = ends(one)
    assert (code, out) == (1, "begun\n")
    (job,) = [job for job in pool.do("job", "list", "-o", "json").json if "echo begun" in job["command"]]
    assert (job["state"], job["outcome"]) == ("done", "its host was rebooted while it ran")
    ended = pool.do("process", "show", life["uuid"], "-o", "json").json
    assert ended["why"] == "host rebooted" and ended["rss_kib"] > 0 and ended["samples"]


def test_every_byte_reaches_it_as_it_is(pool: Pool, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('printf "%s\\0" "$@"; cat')
    words = ["".join(map(chr, range(1, 128))), "", "*", "$HOME `id` \\ ' \" !x", " a  b ", "-n", "--", "\n", "ä€"]
    command = [sys.executable, "-m", "vmctl.cli.main", "run", "--file", str(script), "-i", "--", *words]
    given = bytes(range(256))
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=True)
    assert done.stdout == "".join(f"{word}\0" for word in words).encode() + given


def test_all_hosts_side_by_side(pool: Pool) -> None:
    ran = pool("run", "--all", "--", "sh", "-c", f"echo I am $(hostname); [ $(hostname) != {pool.hosts[1]} ]")
    assert ran.code == 7
    assert sorted(ran.out.splitlines()) == [f"{host}: I am {host}" for host in pool.hosts]
    assert f"{pool.hosts[1]}: exit code 1" in ran.err and "1 of 3 failed" in ran.err
    told = pool("run", "--all", "-o", "json", "--", "hostname").json
    assert {one["host"]: one["out"] for one in told["each"]} == {host: f"{host}\n" for host in pool.hosts}


def test_who_interrupts_it_ends_it(pool: Pool) -> None:
    host = pool.hosts[0]
    one = attended("--on", host, "--", "sleep", "777")
    wait_for(lambda: "sleep 777" in pool.ssh(host, "ps -eo args"), 20, "it runs")
    one.send_signal(signal.SIGINT)
    assert ends(one)[0] == 130
    assert "sleep 777" not in pool.ssh(host, "ps -eo args")


def test_a_log_in_that_is_not_roots(pool: Pool) -> None:
    host = pool.hosts[0]
    assert pool.do("run", "--as", "runner", "--on", host, "--", "id", "-un").out == "runner\n"
    ran = pool("run", "--as", "nosuch", "--on", host, "--", "id", "-un")
    assert ran.code == 1 and "does not let us log in as nosuch" in ran.err
    ran = pool("run", "--as", "runner", "--on", host, "--memory", "64M", "--", "id")
    assert ran.code == 1 and "its limits cannot be kept there" in ran.err


def test_files_come_and_go(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content\n")
    monkeypatch.chdir(tmp_path)
    words = ("--put", "folder", "--get", "made", "--", "sh", "-c", "mkdir made; cp folder/file made/copy; ls")
    ran = pool.do("run", "--on", pool.hosts[0], *words)
    assert ran.out == "folder\nmade\n" and (tmp_path / "made" / "copy").read_text() == "content\n"
    job = pool.do("job", "list", "--most", "1", "-o", "name").out.strip()
    assert pool("job", "get", job, "made").code == 3, "it is there already"
    pool.do("job", "collect", job)
    assert "not kept any more" in pool("job", "logs", job).err


def test_nothing_of_it_stays_when_it_is_collected(pool: Pool) -> None:
    host = pool.hosts[0]
    for job in pool.do("job", "list", "--most", "500", "-o", "json").json:
        if job["state"] in ("done", "failed", "cancelled"):
            pool("job", "collect", str(job["id"]))
    left = pool.ssh(host, "ls /var/tmp/vmctl-runs-0; ls -d /sys/fs/cgroup/memory/vmctl-* 2>/dev/null; :")
    assert left == ""


def test_the_word_count_of_the_document(pool: Pool, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()
    for name, script in zip(("count", "add"), text.split("```sh\n")[1:], strict=True):
        assert f"`{name}`" in text
        (tmp_path / name).write_text(script.partition("```")[0])
    (line,) = [line.strip() for line in text.splitlines() if "--file count" in line]
    for number, host in enumerate(pool.hosts, start=1):
        pool.ssh(host, f"echo 'The words of {host.partition('-')[0]}, {'the ' * number}end.' >/var/tmp/words.txt")
    line = line.replace("vmctl ", f"{sys.executable} -m vmctl.cli.main ").replace("/var/log/", "/var/tmp/")
    done = subprocess.run(["bash", "-o", "pipefail", "-ec", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done
    assert done.stdout.split("\n")[:4] == ["9 the", "3 end", "3 kvm", "3 of"]
