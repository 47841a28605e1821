"""Dumps on the command line: decisions without a controller, and none of it reaches one."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import said, vmctl
from tests.decide.clusters import cluster, host, vm
from vmctl.cli import dumps
from vmctl.commands.cluster import Dump
from vmctl.commands.vms import Create
from vmctl.decide import asked as deciding
from vmctl.errors import NoHostFits, NotFound, Usage, VmctlError
from vmctl.formats import dump, ganeti
from vmctl.model.cluster import Cluster
from vmctl.model.policy import Policy
from vmctl.model.vms import Spec

EAGER = Policy(min_imbalance=0.0, cooldown_s=0.0)
HOT = cluster(
    host("kvm1", cpu=3.8, used=4000),
    host("kvm2", cpu=0.2, used=600),
    host("kvm3", cpu=0.1, used=500),
    *(vm(f"hot{number}", "kvm1", 0.9, 800, mem_mib=1024) for number in range(4)),
)


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever asked a controller would fail."""
    monkeypatch.setenv("VMCTL_SOCKET", f"{tmp_path}/nobody.sock")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "hot.json"
    path.write_text(dump.save(HOT, EAGER))
    return str(path)


def value(*words: str) -> Any:
    return json.loads(said(*words))


def problem(*words: str) -> VmctlError:
    found = vmctl(*words).exception
    assert isinstance(found, VmctlError), found
    return found


# -- decisions


def test_rebalance(file: str) -> None:
    plan = value("--dump", file, "rebalance", "--plan", "-o", "json")
    assert plan["moves"], plan
    for move in plan["moves"]:
        assert move["source"] == "kvm1" and move["target"] in ("kvm2", "kvm3") and "kvm1" in move["why"]
        assert move["gain"] > 0 and move["cost"] >= 0
    scores = [sum(worth for _, worth in plan["before"]), *(move["score"] for move in plan["moves"])]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == pytest.approx(sum(worth for _, worth in plan["after"]))
    told = said("--dump", file, "rebalance")
    assert f"1. {plan['moves'][0]['vm']}: kvm1 -> " in told and f"score {scores[1]:.3f}" in told


@pytest.mark.parametrize(("option", "amount"), [("--budget-moves", "1"), ("--budget-gib", "1.2")])
def test_rebalance_within_a_budget(file: str, option: str, amount: str) -> None:
    assert len(value("--dump", file, "rebalance", "-o", "json")["moves"]) > 1
    assert len(value("--dump", file, "rebalance", option, amount, "-o", "json")["moves"]) == 1


def test_another_policy(file: str, tmp_path: Path) -> None:
    (tmp_path / "calm.toml").write_text("[policy]\nmin_imbalance = 100\n")
    assert "even enough" in said("--dump", file, "--policy", f"{tmp_path}/calm.toml", "rebalance")
    (tmp_path / "odd.toml").write_text("min_imbalence = 100\n")
    assert (
        "unknown setting 'min_imbalence'"
        in problem("--dump", file, "--policy", f"{tmp_path}/odd.toml", "rebalance").message
    )


def test_drain(file: str) -> None:
    plan = value("--dump", file, "host", "drain", "kvm1", "--plan", "-o", "json")
    assert {move["vm"] for move in plan["moves"]} == {"hot0", "hot1", "hot2", "hot3"}
    assert type(problem("--dump", file, "host", "drain", "kvm9", "--plan")) is NotFound


def test_why_is_asked_anew_with_its_own_host_among_the_others(file: str) -> None:
    found = value("--dump", file, "why", "hot0", "-o", "json")
    assert {verdict["host"] for verdict in found["verdicts"]} == {"kvm1", "kvm2", "kvm3"}
    assert (found["now_on"], found["host"]) == ("kvm1", "kvm3")
    told = said("--dump", file, "why", "hot0")
    assert told.startswith("hot0 is on kvm1; if it were placed now:\nhot0 would go to kvm3\n")
    assert "not kvm1: score" in said("--dump", file, "why", "hot0", "--not", "kvm1")
    assert type(problem("--dump", file, "why", "cold")) is NotFound
    assert type(problem("--dump", file, "why", "hot0", "--at", "2026-01-01")) is Usage


def test_create(file: str) -> None:
    words = ("--dump", file, "create", "new", "--image", "any", "--dry-run", "--memory")
    assert said(*words, "1G").startswith("new would go to kvm3\n")
    assert said(*words, "1G", "--host", "kvm2").startswith("new would go to kvm2\n")
    assert type(problem(*words, "1T")) is NoHostFits


def test_a_new_vm_is_placed_by_all_that_it_asks_for(tmp_path: Path) -> None:
    """Whatever `create` says of a VM goes into the decision, offline too."""
    asked: dict[str, Any] = {
        "name": "new",
        "cpus": 3,
        "mem_mib": 640,
        "needs": {"rack": "a"},
        "apart": "web",
        "apart_by": "rack",
        "together": "db",
        "prefer_apart": "calm",
        "prefer_together": "chatty",
        "load_class": "gold",
        "one_numa_node": True,
        "bridge": "br7",
        "cpu": "host",
        "agent_port": "isa",
    }
    spec = deciding.spec_of(Create(**(asked | {"image": "any"})), "new")
    assert {key: getattr(spec, key) for key in asked} == asked
    about_placing = {field.name for field in fields(Create)} & {field.name for field in fields(Spec)} - {"image"}
    assert about_placing == set(asked), "a new option of create is one here, too"


def test_a_class_that_nobody_knows_is_answered_with_those_that_are(file: str) -> None:
    found = problem("--dump", file, "create", "new", "--image", "any", "--dry-run", "--memory", "1G", "--class", "x")
    assert (type(found), found.message) == (Usage, "there is no load class 'x'")


# -- what a dump cannot do


@pytest.mark.parametrize(
    "words",
    [
        ("rebalance", "--apply"),
        ("host", "drain", "kvm1"),
        ("host", "remove", "kvm1"),
        ("host", "list"),
        ("create", "new", "--image", "any", "--memory", "1G"),
    ],
)
def test_what_would_act_is_refused(file: str, words: tuple[str, ...]) -> None:
    found = problem("--dump", file, *words)
    assert found.message == "this cannot be done on a dump" and "rebalance --plan" in found.hint


@pytest.mark.parametrize("command", ["list", "migrate", "serve", "dump"])
def test_other_commands_are_malformed_with_a_dump(file: str, command: str) -> None:
    done = vmctl("--dump", file, command)
    assert done.exit_code == 2 and f"vmctl {command} needs a controller" in done.output


def test_a_policy_alone_is_malformed(file: str) -> None:
    done = vmctl("--policy", file, "rebalance")
    assert done.exit_code == 2 and "--dump FILE" in done.output


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none.json cannot be read" in problem("--dump", f"{tmp_path}/none.json", "rebalance").message
    (tmp_path / "odd.json").write_text("[]")
    assert problem("--dump", f"{tmp_path}/odd.json", "rebalance").message.startswith(f"{tmp_path}/odd.json: not a")


# -- files


def test_a_file_is_written_over_by_force_only(tmp_path: Path) -> None:
    (tmp_path / "now.json").write_text("mine")
    found = problem("dump", "save", f"{tmp_path}/now.json")
    assert (found.message, found.exit_code) == (f"{tmp_path}/now.json is there already", 3)
    assert (tmp_path / "now.json").read_text() == "mine"


@pytest.mark.parametrize(("name", "cpu"), [("hot.data.util", {0.9}), ("hot.util", {0.9}), ("other.util", {0.0})])
def test_where_utilisation_is_looked_for(file: str, tmp_path: Path, name: str, cpu: set[float]) -> None:
    data, back = f"{tmp_path}/hot.data", f"{tmp_path}/back.json"
    said("dump", "convert", "--from", "vmctl", "--to", "ganeti", file, data)
    (tmp_path / "hot.data.util").rename(tmp_path / name)
    told = vmctl("dump", "convert", "--from", "ganeti", "--to", "vmctl", data, back).output
    assert (f"read from {tmp_path}/{name}" if 0.9 in cpu else f"there is no {data}.util or {tmp_path}/hot.util") in told
    assert {guest.load.cpu for guest in dump.load((tmp_path / "back.json").read_text())[0].vms if guest.load} == cpu


def test_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        """A controller with the hot cluster."""

        def ask(self, asked: Any) -> Any:
            assert asked == Dump()
            return json.loads(dump.save(HOT, EAGER))

    monkeypatch.setattr(dumps, "Client", Client)
    assert said("dump", "save", f"{tmp_path}/now.json") == f"{tmp_path}/now.json: 3 hosts, 4 VMs\n"
    assert (tmp_path / "now.json").read_text() == dump.save(HOT, EAGER)
    assert said("dump", "save", "--force", f"{tmp_path}/now.json")


def converted(*words: str) -> Cluster:
    """What a conversion to a dump leaves in the file that it names last."""
    said("dump", "convert", *words)
    return dump.load(Path(words[-1]).read_text())[0]


def test_to_ganeti_and_back(file: str, tmp_path: Path) -> None:
    data, back = f"{tmp_path}/hot.data", f"{tmp_path}/back.json"
    assert "3 hosts, 4 VMs" in said("dump", "convert", "--from", "vmctl", "--to", "ganeti", file, data)
    assert len((tmp_path / "hot.data.util").read_text().splitlines()) == 4
    found = converted("--from", "ganeti", "--to", "vmctl", data, back)
    assert found == ganeti.read(*ganeti.write(HOT, EAGER))[0]
    assert value("--dump", back, "rebalance", "-o", "json")["moves"]


def test_utilisation_elsewhere_or_nowhere(file: str, tmp_path: Path) -> None:
    loads = f"{tmp_path}/elsewhere"
    ganetis = ("--from", "vmctl", "--to", "ganeti", "--utilisation", loads, file, f"{tmp_path}/data")
    said("dump", "convert", *ganetis)
    assert not (tmp_path / "data.util").exists()
    words = ("--from", "ganeti", "--to", "vmctl", f"{tmp_path}/data", f"{tmp_path}/back.json")
    assert {guest.load.cpu for guest in converted(*words).vms if guest.load} == {0.0}
    assert {guest.load.cpu for guest in converted("--utilisation", loads, *words).vms if guest.load} == {0.9}
