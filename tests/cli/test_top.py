"""What is seen of a large pool on a small screen."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.cli.pool import Pool
from vmctl.cli.top import DOWN, PAGE_DOWN, SORTS, UP, View, _head, page

TERMS = [["cpu", 0.1], ["memory", 0.2], ["promised", 0.05], ["disk", 0.3], ["network", 0.01], ["overload", 0.0]]
FOUND: dict[str, Any] = {"hosts": [1, 2, 3], "running": 12, "score": TERMS, "vms": []}
TEXT = "\n".join(f"line {number}" for number in range(60))


def test_the_first_line_fits() -> None:
    assert _head(FOUND, None).endswith("overload 0.00)")
    for width in (200, 80, 60, 40):
        line = _head(FOUND, width)
        assert line.startswith("3 hosts, 12 VMs run, score 0.660") and len(line) <= width
    assert "disk 0.30" in _head(FOUND, 80), "the largest terms stay"


def test_what_is_below_the_screen_can_be_reached() -> None:
    view = View("table")
    lines = view.lines(TEXT, 80, 24)
    assert len(lines) == 24 and lines[0] == "line 0" and "37 lines below" in lines[-1]
    assert view.press(DOWN, 24) and view.lines(TEXT, 80, 24)[0] == "line 1"
    assert view.press(PAGE_DOWN, 24) and view.lines(TEXT, 80, 24)[0] == "line 23"
    for _ in range(5):
        view.press(PAGE_DOWN, 24)
    lines = view.lines(TEXT, 80, 24)
    assert lines[-2] == "line 59" and "below" not in lines[-1]
    assert view.press(UP, 24) and view.lines(TEXT, 80, 24)[-2] == "line 58"
    assert all(len(line) <= 20 for line in view.lines(TEXT, 20, 24))


def test_vms_are_sorted_as_wanted(pool: Pool) -> None:
    view = View("table")
    seen = []
    for name, _ in SORTS:
        assert f"now by {name}" in view.lines("", 80, 24)[-1]
        seen.append(view.press(b"s", 24))
    assert all(seen) and "now by CPU" in view.lines("", 80, 24)[-1]
    assert page({**FOUND, "hosts": []}, "table").startswith("0 hosts")


@pytest.mark.parametrize("key", ["q", "Ctrl-C"])
def test_q_leaves(pool: Pool, key: str) -> None:
    ours, theirs = pty.openpty()
    # Who runs the tests in the background may have SIGINT ignored, and so would this process.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "vmctl.cli.main", "top"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    seen, deadline = b"", time.monotonic() + 15
    while b"q leaves" not in seen and time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            seen += os.read(ours, 65536)
    assert b"web1" in seen and b"q leaves" in seen, seen
    os.write(ours, b"q") if key == "q" else process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
    os.close(ours)
    os.close(theirs)
