"""`vmctl capacity` and `vmctl reboot-plan` as one types them, on a dump, and what goes over the wire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import said, vmctl
from tests.decide.clusters import cluster, host, vm
from vmctl.cli import capacity, wire
from vmctl.commands.cluster import Capacity
from vmctl.formats import dump
from vmctl.model.policy import Policy

PLAIN = Policy(cpu_overcommit=1.0, mem_reserve_mib=0, vm_overhead_mib=0, spare_host=True)
TWO = cluster(
    host("kvm1", used=0),
    host("kvm2", used=0, draining=True),
    host("kvm3", used=0),
    vm("web1", "kvm1", mem_mib=2048),
    vm("web2", "kvm3", mem_mib=8192, cpus=4),
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "two.json"
    path.write_text(dump.save(TWO, PLAIN))
    return str(path)


def test_capacity_in_a_table_and_in_words(file: str) -> None:
    told = said("--dump", file, "capacity", "--size", "1c/1G", "--size", "2C/2048")
    assert told.splitlines() == [
        "SIZE   FIT  WITH A SPARE HOST  FIRST LIMIT",
        "1c/1G    3                  0  memory on kvm3",
        "2c/2G    1                  0  memory on kvm3",
        "",
        "HOST  1c/1G  2c/2G  LOST IF IT DIED  WHY NOT",
        "kvm1      3      1  web1             -",
        "kvm2      0      0  -                the host is draining",
        "kvm3      0      0  web2             -",
        "",
        "if kvm1 died, web1 would find no place",
        "if kvm3 died, web2 would find no place",
        "to buy: one more host like kvm3 (4 CPUs, 8 GiB)",
    ]


def test_capacity_for_programs(file: str) -> None:
    found = json.loads(said("--dump", file, "capacity", "-o", "json"))
    assert [(fit["cpus"], fit["mem_mib"]) for fit in found["sizes"]] == [(1, 1024), (2, 4096), (4, 16384)]
    assert [fit["count"] for fit in found["sizes"]] == [3, 1, 0]
    assert found["buy"]["hosts"] == 1 and found["hosts"][2] == {"name": "kvm3", "vms": ["web2"]}


@pytest.mark.parametrize(
    ("text", "why"), [("2x4", "write 2c/4G"), ("2c/4X", "'4x' is not a size"), ("0c/4G", "1c/1M"), ("1c/4K", "1c/1M")]
)
def test_a_bad_size_is_malformed(file: str, text: str, why: str) -> None:
    done = vmctl("--dump", file, "capacity", "--size", text)
    assert done.exit_code == 2 and why in done.output


def test_an_impossible_size_is_refused(file: str) -> None:
    problem = vmctl("--dump", file, "capacity", "--size", "5000c/4G").exception
    assert "no size that a VM can have" in str(problem)


def test_the_reboot_plan(file: str) -> None:
    assert said("--dump", file, "reboot-plan").splitlines() == [
        "1 host in 1 group, with 0 moves; 2 cannot be emptied",
        "GROUP  HOSTS  MOVES  MEMORY  ON THE WIRE",
        "    1  kvm2       0      0M       0.0min",
        "  -  kvm1 cannot be emptied: web1 (2048 MiB) finds no place: cpu (1 host), draining (1 host)",
        "  -  kvm3 cannot be emptied: web2 (8192 MiB) finds no place: cpu (1 host), draining (1 host)",
    ]
    found = json.loads(said("--dump", file, "reboot-plan", "-o", "json"))
    assert [stuck["host"] for stuck in found["stuck"]] == ["kvm1", "kvm3"]


def test_the_moves_of_a_reboot_plan(tmp_path: Path) -> None:
    path = tmp_path / "turns.json"
    path.write_text(dump.save(cluster(host("kvm1"), host("kvm2"), vm("web1", "kvm1")), PLAIN))
    assert said("--dump", str(path), "reboot-plan").splitlines() == [
        "2 hosts in 2 groups, with 1 move",
        "GROUP  HOSTS  MOVES  MEMORY  ON THE WIRE",
        "    1  kvm2       0      0M       0.0min",
        "    2  kvm1       1    512M       0.0min",
        "group 2: kvm1",
        "  1. web1: kvm1 -> kvm2, 512M",
    ]


def test_the_sizes_go_over_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Client:
        """A controller without hosts."""

        def ask(self, query: Any) -> Any:
            asked.append(query)
            return {"sizes": [], "why": [], "hosts": []}

    monkeypatch.setattr(capacity, "Client", Client)
    vmctl("capacity", "-o", "json")
    vmctl("capacity", "--size", "2c/4G", "--size", "1c/512M", "-o", "json")
    assert asked == [Capacity(), Capacity(["2c/4096M", "1c/512M"])]
    assert wire.request(asked[1]).path.endswith("/capacity?size=2c%2F4096M&size=1c%2F512M")
