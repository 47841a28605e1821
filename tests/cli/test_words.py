"""What people read: what is asked before disks go, what is offered to be typed, and one word for one thing."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from tests.cli.pool import WEB1, Pool
from vmctl.cli import complete, output
from vmctl.cli.hosts import HOST_COLUMNS
from vmctl.cli.main import cli
from vmctl.model.records import VMRecord


def test_who_deletes_is_told_which_disks_go(pool: Pool) -> None:
    done = CliRunner().invoke(cli, ["delete", "web1"], input="n\n")
    assert "delete for good: web1 with /shared/web1.qcow2?" in done.output
    assert done.exit_code == 3 and "nothing was deleted" in done.output and "error" not in done.output


def test_who_deletes_a_vm_that_a_task_holds_is_shown_the_task(pool: Pool) -> None:
    store = pool.controller.services.store
    code, said = pool.code("delete", "db1")
    assert code == 3 and "vmctl stop db1" in said
    vm = pool.do(store.vm("db1"))
    pool.do(store.change(VMRecord, vm.uuid, task=1))
    code, said = pool.code("delete", "db1")
    assert code == 3 and "vmctl task attach 1" in said
    pool.do(store.change(VMRecord, vm.uuid, task=None))


def offered(completer: complete.Completer, word: str = "") -> set[str]:
    nobody: Any = None
    return {item.value for item in completer(nobody, nobody, word)}


def test_what_is_offered_is_what_can_be_meant(pool: Pool) -> None:
    assert offered(complete.vms) == {"web1", "db1"}
    assert offered(complete.in_state("stopped")) == {"web1"}
    assert offered(complete.in_state("running", "unknown")) == {"db1"}
    assert offered(complete.tasks) >= {"1", "2"} and offered(complete.open_tasks) == set()
    assert offered(complete.schedules) == {"rebalance"} and offered(complete.draining) == set()
    assert offered(complete.hosts, "kvm2") == {"kvm2"}


def test_several_vms_move_by_one_command(pool: Pool) -> None:
    code, said = pool.code("migrate", "db1", "nobody", "--host", "kvm2", "--detach")
    assert code == 7 and "migrate db1" in said
    assert pool.code("migrate")[0] == 2 and pool.code("migrate", "db1", "--from", "kvm1")[0] == 2
    code, said = pool.code("migrate", "--from", "kvm2")
    assert code == 3 and "no VM runs on kvm2" in said


def test_a_vm_is_shown_with_all_that_was_asked_for_it(pool: Pool) -> None:
    said = pool.code("show", "web1")[1]
    for head in ("class", "needs", "if it is sick", "bridge", "ip"):
        assert any(line.startswith(head) for line in said.splitlines()), head
    assert "IP" in pool.code("list")[1].splitlines()[0].split()
    assert WEB1 in said


def test_a_host_that_was_never_reached_has_no_size() -> None:
    unknown: dict[str, Any] = {"name": "kvm1", "state": "unknown", "cpus": 1, "mem_mib": 0, "load": None, "vms": []}
    unknown |= {"promised_mib": 0, "more": {}}
    row = dict(zip([head for head, _ in HOST_COLUMNS], output._cells(HOST_COLUMNS, unknown), strict=True))
    assert (row["CPUS"], row["MEMORY"], row["AGE"]) == ("-", "-", "-")


def test_an_old_reading_says_that_it_is_old() -> None:
    load = {"cpu": 1.0, "mem_used_mib": 1, "age_s": 23.0}
    host: dict[str, Any] = {"name": "kvm1", "state": "online", "cpus": 4, "mem_mib": 4096, "load": load, "vms": []}
    host |= {"promised_mib": 0, "more": {}, "stale": True}
    assert output._cells(HOST_COLUMNS, host)[-1] == "23s stale"


def test_a_wide_table_ends_at_the_edge_of_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    output.table([("NAME", lambda item: item["name"])], [{"name": "x" * 50}])
    assert all(len(line) <= 20 for line in capsys.readouterr().out.splitlines())
