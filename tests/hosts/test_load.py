"""Rates and loads: never negative, never impossible, never from what cannot be compared."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vmctl.hosts.facts import CpuTicks, QemuProcess, RawSample
from vmctl.hosts.history import FULL_RATE_S, History
from vmctl.hosts.load import Smoothed, rates

BASE = RawSample(
    "boot-1", 1000.0, 5e9, 0.5, 4, CpuTicks(1000, 0, 500, 90000, 10, 0, 5, 20, 300), "cpu0 1\n", 8 << 20, 6 << 20,
    0, 0, 2048, 0, 0, None, None, None, (),
)  # fmt: skip


def vm(uuid: str = "u1", pid: int = 10, start: int = 7, ticks: int = 100, **changes: Any) -> QemuProcess:
    return QemuProcess(pid, start, uuid, "web1", ticks, 1 << 20, 3, 0, 0)._replace(**changes)


def later(sample: RawSample, seconds: float, busy: int = 0, idle: int = 0, *vms: QemuProcess) -> RawSample:
    cpu = sample.cpu._replace(user=sample.cpu.user + busy, idle=sample.cpu.idle + idle)
    return sample._replace(uptime_s=sample.uptime_s + seconds, cpu=cpu, vms=vms)


def test_plain_rates() -> None:
    before = BASE._replace(vms=(vm(),))
    found = rates(before, later(before, 10, 1000, 3000, vm(ticks=1600, read_bytes=1000)))
    assert found is not None and found.cpu == 1.0 and found.cpus == 4
    assert found.vms["u1"].cpu == 1.5 and found.vms["u1"].mem_mib == 1024
    assert found.vms["u1"].read_bytes_s == 100 and found.vms["u1"].write_bytes_s == 0


def test_no_false_numbers() -> None:
    before = BASE._replace(vms=(vm(),))
    after = later(before, 10, 10, 10, vm(ticks=200))
    assert rates(before, after._replace(boot_id="boot-2")) is None
    assert rates(before, after._replace(uptime_s=before.uptime_s)) is None
    assert rates(before, after._replace(uptime_s=1.0)) is None
    assert rates(before, after._replace(cpus=8)) is None
    assert rates(before, after._replace(cpu=CpuTicks(1, 0, 1, 1, 0, 0, 0, 0, 0))) is None
    assert rates(before, after._replace(cpu=before.cpu)) is None
    assert rates(before, after._replace(wall_s=1.0)) == rates(before, after)


def test_a_replaced_or_new_or_vanished_process_is_left_out() -> None:
    before = BASE._replace(vms=(vm(),))
    for changed in (vm(start=8, ticks=500), vm(pid=11), vm(uuid="u2"), vm(ticks=50)):
        found = rates(before, later(before, 10, 10, 10, changed))
        assert found is not None and found.vms == {}
    unreadable = rates(before, later(before, 10, 10, 10, vm(ticks=150, read_bytes=None)))
    assert unreadable is not None and unreadable.vms["u1"].read_bytes_s is None


COUNTS = st.integers(0, 1 << 64)
SAMPLES = st.builds(
    lambda boot, uptime, wall, cpus, ticks, swap, vms: BASE._replace(
        boot_id=boot, uptime_s=uptime, wall_s=wall, cpus=cpus, cpu=CpuTicks(*ticks), swap_in_pages=swap, vms=tuple(vms)
    ),
    st.sampled_from("ab"),
    st.floats(0, 1e9),
    st.floats(0, 1e10),
    st.integers(0, 512),
    st.tuples(*[COUNTS] * 9),
    COUNTS,
    st.lists(
        st.builds(
            vm, st.sampled_from("xyz"), st.integers(1, 3), st.integers(1, 2), COUNTS, read_bytes=st.none() | COUNTS
        )
    ),
)


@given(SAMPLES, SAMPLES)
def test_rates_are_possible_whatever_comes(before: RawSample, after: RawSample) -> None:
    found = rates(before, after)
    if found is None:
        return
    assert before.boot_id == after.boot_id and found.elapsed_s > 0
    assert 0 <= found.cpu <= found.cpus == after.cpus
    for share in (found.iowait, found.steal, found.guest):
        assert 0 <= share <= 1
    assert found.iowait + found.steal + found.cpu / found.cpus <= 1 + 1e-9
    assert found.swap_in_pages_s >= 0
    for used in found.vms.values():
        assert 0 <= used.cpu <= after.cpus and used.mem_mib >= 0
        assert used.read_bytes_s is None or (used.read_bytes_s >= 0 and math.isfinite(used.read_bytes_s))


@given(st.lists(SAMPLES, max_size=20))
def test_a_load_is_possible_whatever_comes(samples: list[RawSample]) -> None:
    smoothed = Smoothed()
    for number, sample in enumerate(samples):
        smoothed.add(sample, float(number))
        load = smoothed.host(number + 2.0)
        assert load is None or (0 <= load.cpu <= sample.cpus and load.age_s == 2.0 and load.mem_used_mib == 2048)
        assert all(0 <= used.cpu <= sample.cpus for used in smoothed.vms().values())


def test_the_load_is_the_mean_of_the_last_minute() -> None:
    smoothed, sample = Smoothed(), BASE
    assert smoothed.host(0) is None and smoothed.vms() == {}
    for second in range(0, 300, 5):  # 3 of 4 cores until 240 s, then 1 of 4
        busy = 1500 if second <= 240 else 500
        sample = later(sample, 5, busy, 2000 - busy, vm(ticks=second * 100))
        smoothed.add(sample, float(second))
    load = smoothed.host(295 + 3)
    assert load is not None and abs(load.cpu - (11 * 1 + 1 * 3) / 12) < 0.01 and load.age_s == 3
    assert abs(smoothed.vms()["u1"].cpu - 1.0) < 0.01


def test_a_vm_that_came_within_the_minute_has_its_own_mean() -> None:
    smoothed, sample = Smoothed(), BASE
    for second in range(0, 60, 5):
        vms = (vm(), vm("u2", 11, 9, (second - 40) * 200)) if second >= 40 else (vm(),)
        sample = later(sample, 5, 500, 1500, *vms)
        smoothed.add(sample, float(second))
        if second == 40:
            assert "u2" not in smoothed.vms()
    assert abs(smoothed.vms()["u2"].cpu - 2.0) < 0.01 and smoothed.vms()["u1"].cpu == 0


def test_a_reboot_empties_the_window() -> None:
    smoothed = Smoothed()
    smoothed.add(BASE, 0)
    smoothed.add(later(BASE, 5, 10, 10), 5)
    assert smoothed.host(5) is not None
    assert smoothed.add(BASE._replace(boot_id="boot-2", uptime_s=20), 10) is None
    assert smoothed.host(10) is None


def test_history_tells_each_minute_once() -> None:
    history = History("host/kvm1")
    for second in range(0, 1300, 5):
        history.add(1_200_000 + second, {"cpu": float(second // 60), "psi": 0.5} if second < 600 else {"cpu": 1.0})
    means = history.minute_means()
    minutes, tens = ([mean for mean in means if mean.period_s == period] for period in (60, 600))
    assert [mean.at for mean in minutes] == [1_200_000 + 60 * n for n in range(21)]
    assert [mean.values["cpu"] for mean in minutes[:10]] == [float(n) for n in range(10)]
    assert [(mean.at, mean.values) for mean in tens] == [
        (1_200_000, {"cpu": 4.5, "psi": 0.5}),
        (1_200_600, {"cpu": 1.0}),
    ]
    assert history.minute_means() == [] and len(history.close()) == 2
    points = list(history.points())
    assert points[-1][0] - points[0][0] <= FULL_RATE_S and len(list(history.points(points[-3][0]))) == 3


@given(st.lists(st.floats(0, 1e6)))
def test_history_is_bounded_and_never_tells_a_period_twice(times: list[float]) -> None:
    history = History("vm/u1")
    for at in times:
        history.add(at, {"cpu": 1.0})
    told = [(mean.period_s, mean.at) for mean in [*history.minute_means(), *history.close()]]
    assert len(told) == len(set(told))
    newest = max(times, default=0.0)
    assert all(newest - FULL_RATE_S <= at for at, _ in history.points())
