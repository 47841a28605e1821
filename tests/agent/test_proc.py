"""Texts of /proc and of systemd as values, from recorded outputs."""

from __future__ import annotations

import pytest

from guest_agent import health, proc, versions
from guest_agent.scan import program_name

STAT = (
    b"1234 (%s) S 1 1234 1234 0 -1 4194560 7411 2 0 0 150 50 0 0 20 0 3 0 98765 231428096 2560 18446744073709551615 1 "
    b"1 0 0 0 0 0 4096 1024 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
TCP = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   104        0 28771 1 0000000000000000
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14202 1 0000000000000000
   2: 0A0A0A0A:0016 0B0A0A0A:D431 01 00000000:00000000 02:0009A2F8 00000000     0        0 99999 4 0000000000000000
   3: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 66666 1 0000000000000000
"""
FIB = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.1.2.0/24 2 0 2
           |-- 10.1.2.7
              /32 host LOCAL
           |-- 10.1.2.255
              /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
              |-- 127.0.0.1
                 /32 host LOCAL
Local:
           |-- 10.1.2.7
              /32 host LOCAL
"""
IF_INET6 = """00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000505400fffe123456 02 40 20 80     eth0
20010db8000000000000000000000042 02 40 00 80     eth0
"""
SHOW = """Id=ssh.service
LoadState=loaded
ActiveState=active
SubState=running
MainPID=412
NRestarts=2
StateChangeTimestampMonotonic=5123456

Id=gone.service
LoadState=not-found
ActiveState=inactive
SubState=dead
MainPID=0

Id=bad.service
LoadState=loaded
ActiveState=failed
SubState=failed
MainPID=0
NRestarts=0
StateChangeTimestampMonotonic=7000000

Id=data.mount
LoadState=loaded
ActiveState=failed
SubState=failed
"""


@pytest.mark.parametrize("name", [b"sshd", b"a b", b"x) S 1 (y", b"((", b"))", b"\xff\xfe", b""])
def test_a_process_whatever_its_name(name: bytes) -> None:
    seen = proc.stat(STAT % name)
    assert seen == (name, "S", 1, 4194560, 200, 3, 98765, 2560)


@pytest.mark.parametrize("broken", [b"", b"1 (x", b"1 (x) S 1", STAT.replace(b"98765", b"many")])
def test_half_a_text_is_an_error_and_not_a_zero(broken: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        proc.stat(broken % b"x" if b"%" in broken else broken)


def test_strings_have_no_control_characters_and_no_halves() -> None:
    assert (
        proc.text(b"ev\x1bil\n\x00name\xff\xed\xa0\x80", 64).encode() == "ev il  name\ufffd\ufffd\ufffd\ufffd".encode()
    )
    assert proc.text(b"x" * 100, 64) == "x" * 64
    assert proc.text("\u202eabc".encode(), 64) == "abc"  # turns the text of whoever prints it around


def test_listening_sockets_end_at_the_first_connection() -> None:
    assert proc.listening(TCP) == {28771: 3306, 14202: 22}
    assert proc.listening(TCP.split(b"\n")[0]) == {}
    assert proc.listening(TCP[:250]) in ({}, {28771: 3306})


def test_addresses() -> None:
    assert proc.ipv4(FIB) == ["10.1.2.7"]
    assert proc.ipv6(IF_INET6) == ["2001:db8:0:0:0:0:0:42"]


def test_memory() -> None:
    text = "MemTotal:  2048000 kB\nMemFree: 100 kB\nMemAvailable: 1024000 kB\nSwapTotal: 4096 kB\nSwapFree: 2048 kB\n"
    assert proc.memory(text) == {
        "mem_total_mib": 2000,
        "mem_available_mib": 1000,
        "swap_total_mib": 4,
        "swap_used_mib": 2,
    }
    old = "MemTotal: 2048000 kB\nMemFree: 1024 kB\nBuffers: 1024 kB\nCached: 2048 kB\n"
    assert proc.memory(old)["mem_available_mib"] == 4


def test_cpu_time() -> None:
    text = "cpu  10 1 5 1000 50 2 3 7 4 0\ncpu0 5 0 2 500 25 1 2 3 2 0\ncpu1 5 1 3 500 25 1 1 4 2 0\nintr 1\n"
    assert proc.cpu_ticks(text) == (21, 7, 2)
    assert proc.cpu_ticks("cpu 1 2 3 4\n") == (6, 0, 1)


def test_pressure_with_and_without_full() -> None:
    both = "some avg10=1.50 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=1000\n"
    assert proc.pressure(both) == {"some10": 0.015, "full10": 0.0025, "some_total_s": 2.5, "full_total_s": 0.001}
    assert proc.pressure(both.splitlines()[0])["full10"] is None


def test_file_systems() -> None:
    text = (
        "sysfs /sys sysfs rw 0 0\n/dev/vda1 / ext4 rw 0 0\n/dev/vdb /srv/my\\040data xfs rw 0 0\n"
        "/dev/vda1 /bind ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\nhost:/x /net nfs4 rw 0 0\n"
    )
    assert proc.mounts(text) == [("/", "ext4"), ("/srv/my data", "xfs")]


def test_the_rest() -> None:
    assert proc.uid("Name:\tx\nUid:\t1000\t1001\t1000\t1000\n") == 1001
    assert proc.uid("Name:\tx\n") is None
    assert proc.storage_bytes("rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n") == (
        4096,
        8192,
    )
    with pytest.raises(KeyError):
        proc.storage_bytes("")
    assert proc.users("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n+::::::\nbad\n") == {0: "root"}
    assert proc.load("0.52 0.58 0.59 1/467 12345\n") == [0.52, 0.58, 0.59]
    assert proc.oom_kills("nr_free_pages 1\noom_kill 3\n") == 3
    assert proc.oom_kills("nr_free_pages 1\n") is None
    assert (
        proc.os_name('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
        == "Debian GNU/Linux 12 (bookworm)"
    )


@pytest.mark.parametrize(
    ("name", "path", "command", "program"),
    [
        (b"sshd", "/usr/sbin/sshd", b"sshd: user", "sshd"),
        (b"qemu-system-x86", "/usr/bin/qemu-system-x86_64", b"", "qemu-system-x86_64"),
        (b"systemd-network", "", b"/lib/systemd/systemd-networkd -x", "systemd-networkd"),
        (b"my-own-title-xx", "/usr/bin/python3.11", b"python3 x", "my-own-title-xx"),
        (b"vmctl", "/usr/bin/python3.11", b"python3 /usr/bin/vmctl", "vmctl"),
    ],
)
def test_the_name_of_a_program(name: bytes, path: str, command: bytes, program: str) -> None:
    assert program_name(name, path, command) == program


def test_services_and_failed_units() -> None:
    units = health.units(SHOW)
    assert len(units) == 4
    assert health.services(units) == {
        "ssh.service": {
            "unit": "ssh.service", "active": "active", "sub": "running", "pid": 412, "restarts": 2, "since_s": 5.123,
        },
        "bad.service": {
            "unit": "bad.service", "active": "failed", "sub": "failed", "pid": 0, "restarts": 0, "since_s": 7.0,
        },
    }  # fmt: skip
    assert health.failed(units) == ["bad.service", "data.mount"]
    assert health.units("") == []


@pytest.mark.parametrize(
    ("names", "ok"),
    [
        (("ssh.service",), True),
        (("sshd.service", "ssh.service"), True),
        (("bad.service",), False),
        (("bad.service", "ssh.service"), True),
        (("none.service",), False),
    ],
)
def test_the_verdict_on_a_unit(names: tuple[str, ...], ok: bool) -> None:
    known = health.services(health.units(SHOW))
    assert health.of_unit(known, names)[0] is ok
    assert health.of_unit(None, names)[0] is None
    coming = {"ssh.service": {**known["ssh.service"], "active": "activating", "sub": "auto-restart"}}
    assert health.of_unit(coming, ("ssh.service",)) == (None, "ssh.service is activating (auto-restart)")


def test_packages_of_programs() -> None:
    search = (
        "diversion by dash from: /bin/sh\nopenssh-server: /usr/sbin/sshd\nlibc6:amd64, libc6:i386: /lib/ld.so\n"
        "dpkg-query: no path found matching pattern /opt/own\n"
    )
    assert versions.owners(search) == {"/usr/sbin/sshd": "openssh-server", "/lib/ld.so": "libc6:amd64"}
    show = "openssh-server 1:9.2p1-2+deb12u3\nlibc6:amd64 2.36-9\nremoved \n"
    known = versions.versions(show)
    assert known["openssh-server"] == "1:9.2p1-2+deb12u3" and known["libc6"] == known["libc6:amd64"] == "2.36-9"
    assert "removed" not in known
    assert versions._in_order(["/a", "/b"], "1-2\nfile /b is not owned by any package\n") == {"/a": "1-2", "/b": ""}
