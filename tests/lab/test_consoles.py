"""Consoles of real guests: one user at a time, whoever holds it, and where its VM goes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.cli.test_console import Terminal
from tests.lab.pool import Pool

pytestmark = pytest.mark.lab


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for one in opened:
        one.close()


def opened(terminals: list[Terminal], *words: str) -> Terminal:
    terminals.append(Terminal(*words))
    return terminals[-1]


def test_two_users_a_move_and_an_end(pool: Pool, terminals: list[Terminal]) -> None:
    with pool.vms("shared"):
        pool.counting("shared")
        one = opened(terminals, "shared")
        one.see("connected to shared", 30)
        one.type("\necho four=$((2+2))\n")
        one.see("four=4", 30)
        two = opened(terminals, "shared")
        two.see("--force takes it over", 30)
        assert two.end() == 3
        three = opened(terminals, "shared", "--force")
        one.see("taken over by", 30)
        one.type("ls\n")
        assert one.end() == 3 and one.for_the_shell() == ""
        pool.do("migrate", "shared")
        three.see("[shared is on ", 40)
        three.type("\necho six=$((3+3))\n")
        three.see("six=6", 40)
        pool.do("stop", "shared", "--force")
        three.see("does not run any more", 40)
        assert three.end() == 1


def test_a_console_that_is_in_use_past_vmctl(pool: Pool, terminals: list[Terminal]) -> None:
    with pool.vms("foreign"):
        pool.counting("foreign")
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        words = ["ssh", "-tt", "-i", str(pool.key), *(part for option in options for part in ("-o", option))]
        there = [*words, f"root@{pool.vm('foreign')['host']}", "virsh", "console", "foreign"]
        with subprocess.Popen(there, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as virsh:
            time.sleep(5)
            one = opened(terminals, "foreign")
            one.see("the console is in use, past vmctl", 30)
            assert one.end() == 3
            virsh.kill()
        two = opened(terminals, "foreign", "--force")
        two.see("connected to foreign", 30)
