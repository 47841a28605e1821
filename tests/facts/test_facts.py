"""Every recorded output in tests/facts/FACT/CASE.json reads as it says. To add a case: add a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vmctl.hosts.facts import FACTS, MOST_DEVICES, Unreadable, as_json, parse_clock, parse_cpu_info, parse_sample

HERE = Path(__file__).parent
CASES = sorted(path.relative_to(HERE) for path in HERE.glob("*/*.json"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_output(case: Path) -> None:
    recorded = json.loads((HERE / case).read_text())
    assert as_json(FACTS[case.parent.name].parse(recorded["input"])) == recorded["expect"]


def test_every_fact_has_a_case() -> None:
    assert {case.parent.name for case in CASES} == set(FACTS)


def test_a_truncated_or_garbled_sample_is_unreadable() -> None:
    text = json.loads((HERE / "Sample" / "two-vms.json").read_text())["input"]
    for broken in (
        "",
        text[:40],
        text.replace("MemTotal", "Total"),
        text.replace("\x1e", " "),
        text.replace("cpu ", "cpu x"),
    ):
        with pytest.raises(Unreadable):
            parse_sample(broken)
    with pytest.raises(Unreadable):
        parse_clock("no date")
    with pytest.raises(Unreadable):
        parse_cpu_info("")


def test_no_process_began_in_the_future() -> None:
    """Where /proc/uptime is a container's, start ticks count from the kernel's own boot."""
    sample = parse_sample(json.loads((HERE / "Sample" / "proc-of-a-container.json").read_text())["input"])
    started = int((sample.uptime_s + 12345.67) * 100) - 500
    assert sample.age_s(started) == pytest.approx(5.0, abs=0.02)
    assert sample.age_s(started + 10_000) == 0.0


def test_a_host_has_no_end_of_devices() -> None:
    sections = json.loads((HERE / "Sample" / "disks-and-interfaces.json").read_text())["input"].split("\x1e")
    sections[8] = "".join(f"nvme{number}n1 1 2 3\n" for number in range(2 * MOST_DEVICES))
    sections[9] = "".join(f"vnet{number} 1 2 tap 10\n" for number in range(2 * MOST_DEVICES))
    sample = parse_sample("\x1e".join(sections))
    assert len(sample.disks) == len(sample.interfaces) == MOST_DEVICES


def test_each_cpu_on_demand() -> None:
    sample = parse_sample(json.loads((HERE / "Sample" / "128-cpus.json").read_text())["input"])
    assert len(sample.per_cpu) == sample.cpus == 128
    assert sample.per_cpu[127].user == 10127
    assert sample.cpu.busy == 1280000 + 128 + 640000 + 6400
