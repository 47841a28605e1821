"""What Prometheus is told: valid, bounded, from memory alone; what is not known is not there."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.api.live import Live, bearer, served
from tests.hosts.test_devices import moving
from tests.observe import pool
from tests.observe.pool import Shown, full, measure, samples, serving, value
from tests.observe.table import scrape as everything
from vmctl.cluster.controller import Controller
from vmctl.commands import users
from vmctl.commands.cluster import Metrics, Rebalance
from vmctl.door import series
from vmctl.door.answers import Exposition
from vmctl.local.config import MetricsSettings, Settings
from vmctl.model.hosts import HostState
from vmctl.model.jobs import Promise
from vmctl.model.records import Task, TaskState
from vmctl.model.rights import LOCAL_USER
from vmctl.services.meters import Meters

# All labels that any series may have. Each has few values, or as many as there are hosts or, up to a bound, VMs.
LABELS = {
    *("host", "state", "power", "status", "resource", "kind", "end", "how", "outcome", "route", "method", "le"),
    *("vm", "uuid", "project", "version", "python"),
}


def promtool(*words: str, given: str = "") -> str:
    """What it says of what it is given, which is right."""
    done = subprocess.run(("promtool", *words), input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


async def scraped(controller: Controller) -> str:
    """What the door tells."""
    found: Exposition = await controller.door.ask(Metrics(), LOCAL_USER)
    return found.text


# -- over the real API


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Iterator[Live]:
    with served(tmp_path_factory.mktemp("live"), empty_registry) as found:
        yield found


def scrape(live: Live, **headers: str) -> httpx.Response:
    """As Prometheus does it."""
    return httpx.get(f"https://127.0.0.1:{live.port}/metrics", verify=live.ca, headers=headers)


def test_a_scrape_over_tls_is_what_promtool_takes(live: Live) -> None:
    anna = bearer(live.token())
    live.get("vms", live.token())
    answer = scrape(live, **anna)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=1.0.0; charset=utf-8")
    assert promtool("check", "metrics", given=answer.text) == ""
    below = live.get("metrics", live.token())
    assert (below.status_code, below.headers["content-type"]) == (200, answer.headers["content-type"])
    assert {sample.name for sample in samples(answer.text)} <= {sample.name for sample in samples(below.text)}
    assert value(answer.text, "vmctl_api_requests_total", route="/api/v1/vms", method="GET", status="200") == 1.0
    for own in ("vmctl_process_cpu_seconds_total", "vmctl_process_resident_memory_bytes"):
        assert (value(answer.text, own) or 0.0) > 0


def test_who_may_not_look_at_everything_may_not_scrape(live: Live) -> None:
    assert scrape(live).status_code == 401
    assert scrape(live, **bearer(f"vmctl_{'0' * 12}_{'A' * 43}")).status_code == 401
    live.ask(users.AddUser("ben"))
    live.ask(users.AddProject("blue"))
    live.ask(users.GrantRole("ben", "viewer", "project:blue"))
    ben = live.token("ben")
    assert (scrape(live, **bearer(ben)).status_code, live.get("metrics", ben).status_code) == (403, 403)


def test_no_secret_is_in_a_scrape(live: Live) -> None:
    canaries = [f"canary-{number}" for number in range(20)]
    token = live.token()
    with httpx.Client(base_url=f"https://127.0.0.1:{live.port}", verify=live.ca) as client:
        for canary in canaries:
            client.post("/api/v1/login", json={"user": canary, "password": canary})
            client.get(f"/api/v1/vms/{canary}", headers=bearer(canary), params={"q": canary})
            client.request(canary.upper(), f"/{canary}", headers={**bearer(token), "X-Request-Id": canary})
    told = scrape(live, **bearer(token)).text
    for secret in (*canaries, *(canary.upper() for canary in canaries), token, token.split("_", 2)[2]):
        assert secret not in told
    assert 'method="other"' in told, "they were counted"


# -- what is in it


async def test_every_series_has_something_to_tell(tmp_path: Path) -> None:
    text = await everything(tmp_path)
    told = {sample.name for sample in samples(text)}
    assert {row.name for row in series.EVERY} - told == set()
    assert promtool("check", "metrics", given=text) == ""
    assert value(text, "vmctl_host_cpus", host="kvm0") == 4.0
    assert value(text, "vmctl_host_pressure_ratio", host="kvm1", resource="io") == 0.2
    assert value(text, "vmctl_host_disk_busy_ratio", host="kvm1") == pytest.approx(0.5)
    assert value(text, "vmctl_host_vms", host="kvm1") == 2.0
    assert value(text, "vmctl_host_memory_promised_bytes", host="kvm1") == 2 * (512 + 64) << 20
    assert value(text, "vmctl_host_memory_limit_bytes", host="kvm1") == (8192 - 256) << 20
    assert value(text, "vmctl_vms", power="running") == 4.0
    assert value(text, "vmctl_guests", status="hung") == 1.0
    assert value(text, "vmctl_tasks_open", kind="rebalance") == 1.0
    assert value(text, "vmctl_vm_info", vm="vm1", uuid=pool.uuid(1), host="kvm1", project="default") == 1.0
    assert (value(text, "vmctl_vm_sick_seconds", uuid=pool.uuid(0), status="hung") or 0.0) > 0


async def test_names_and_labels_are_of_a_kind_and_no_process_has_series(tmp_path: Path) -> None:
    found = samples(await everything(tmp_path))
    assert {label for sample in found for label in sample.labels} == LABELS
    assert [sample.name for sample in found if not sample.name.startswith("vmctl_")] == []


async def test_a_scrape_asks_no_host_and_not_the_registry(tmp_path: Path) -> None:
    async with serving(controller := await full(tmp_path)):
        await measure(controller)

        class Silent:
            """Whoever asks it anything has no attribute."""

            trouble = "it takes nothing"

        controller.services.store = cast(Any, Silent())
        text = await scraped(controller)
    assert value(text, "vmctl_registry_trouble") == 1.0
    assert value(text, "vmctl_vms", power="running") == 4.0


# -- how much there may be


async def test_where_there_are_too_many_vms_none_has_series_and_that_is_told(tmp_path: Path) -> None:
    for most, own in ((4, True), (3, False)):
        settings = Settings(metrics=MetricsSettings(most_vms=most))
        async with serving(controller := await full(tmp_path, 4, settings)):
            await measure(controller)
            text = await scraped(controller)
        labels = {label for sample in samples(text) for label in sample.labels}
        assert ({"vm", "uuid"} <= labels, bool({"vm", "uuid"} & labels)) == (own, own)
        assert value(text, "vmctl_vms_without_series") == (0.0 if own else 4.0)
        assert value(text, "vmctl_vms", power="running") == 4.0, "what is told of all of them together stays"


async def test_no_path_and_no_method_makes_series_of_its_own(tmp_path: Path) -> None:
    async with serving(controller := await full(tmp_path)) as http:
        for number in range(30):
            await http.get(f"/nosuch{number}")
            await http.get(f"/api/v1/vms/nosuch{number}")
            await http.request(f"VERB{number}", f"/api/v1/vms/{number}%2f")
        found = [s for s in samples(await scraped(controller)) if s.name == "vmctl_api_requests_total"]
    assert {(s.labels["route"], s.labels["method"], s.labels["status"], s.value) for s in found} == {
        ("none", "GET", "404", 30.0),
        ("/api/v1/vms/{vm}", "GET", "404", 30.0),
        ("none", "other", "422", 30.0),
    }


# -- what is not known


async def test_what_was_not_measured_is_not_there(tmp_path: Path) -> None:
    async with serving(controller := await full(tmp_path)):
        before = await scraped(controller)
        await measure(controller)
        for name, link in controller.services.links.items():
            cast(Shown, link).domains_at = None
            controller.services.loads.forget(name)
            for second in (0, 10):
                bare = moving(second)._replace(disks={}, interfaces={})
                controller.services.loads.add(link, bare)
        text = await scraped(controller)
    told = {sample.name for sample in samples(before)}
    unknown = {row.name for row in series.EVERY if row.name.startswith(("vmctl_vm", "vmctl_host_cpu"))}
    assert not told & unknown, "nobody has looked yet"
    told = {sample.name for sample in samples(text)}
    assert "vmctl_host_cpu_busy_cores" in told
    missing = ("pressure_ratio", "disk_busy_ratio", "network_used_ratio", "domains_age_seconds", "storages_lost")
    assert not told & {f"vmctl_host_{name}" for name in missing}


async def test_a_load_that_is_too_old_to_decide_is_not_told_but_its_age_is(tmp_path: Path) -> None:
    async with serving(controller := await full(tmp_path)):
        await measure(controller)
        services = controller.services
        services.settings = replace(services.settings, policy=replace(services.policy, max_age_s=-1.0))
        text = await scraped(controller)
    assert value(text, "vmctl_host_sample_age_seconds", host="kvm0") is not None
    assert value(text, "vmctl_host_cpu_busy_cores", host="kvm0") is None
    assert value(text, "vmctl_vm_cpu_busy_cores", uuid=pool.uuid(0)) is None
    assert value(text, "vmctl_host_memory_bytes", host="kvm0") == 8 << 30, "that does not age"


async def test_a_vm_whose_host_is_silent_neither_runs_nor_stands_still(tmp_path: Path) -> None:
    async with serving(controller := await full(tmp_path)):
        await measure(controller)
        cast(Shown, controller.services.links["kvm0"]).state = HostState.UNKNOWN
        text = await scraped(controller)
    assert value(text, "vmctl_host_online", host="kvm0") == 0.0
    assert value(text, "vmctl_hosts", state="unknown") == 1.0
    assert value(text, "vmctl_vm_running", uuid=pool.uuid(0)) is None
    assert value(text, "vmctl_vm_running", uuid=pool.uuid(1)) == 1.0
    assert value(text, "vmctl_vms", power="unknown") == 2.0
    assert value(text, "vmctl_host_vms", host="kvm0") == 2.0, "they may run there"


async def test_what_is_promised_to_runs_of_jobs_is_counted(tmp_path: Path) -> None:
    async with serving(controller := await full(tmp_path)):
        await measure(controller)
        before = value(await scraped(controller), "vmctl_host_memory_promised_bytes", host="kvm1") or 0.0
        controller.services.promises.give("a run", Promise("kvm1", 1, 300))
        text = await scraped(controller)
    assert value(text, "vmctl_host_memory_promised_bytes", host="kvm1") == before + (300 << 20)
    assert value(text, "vmctl_host_job_runs", host="kvm1") == 1.0
    assert value(text, "vmctl_host_job_runs", host="kvm0") == 0.0


async def test_where_guests_are_not_read_none_is_counted(tmp_path: Path) -> None:
    async with serving(controller := await full(tmp_path, settings=Settings(read_guests=False))):
        await measure(controller)
        assert value(await scraped(controller), "vmctl_guests", status="well") is None


# -- what is counted


async def test_the_end_of_every_task_is_counted_once(tmp_path: Path) -> None:
    async with serving(controller := await full(tmp_path)):
        tasks, ask = controller.tasks, controller.door.ask

        async def works(_job: Any) -> dict[str, Any]:
            return {}

        async def breaks(_job: Any) -> dict[str, Any]:
            raise ValueError

        for handler, times in ((works, 2), (breaks, 1)):
            tasks.handlers["rebalance"] = handler
            for _ in range(times):
                await tasks.wait((await ask(Rebalance(), LOCAL_USER)).id)
        left = Task(0, "reset", "vm0", 1.0, state=TaskState.RUNNING)
        number = await controller.services.store.add(left)
        tasks.resume(replace(left, id=number))  # an earlier controller left it, and nobody may go on with it
        await asyncio.gather(*tasks._running)
        text = await scraped(controller)
    counted = {
        (sample.labels["kind"], sample.labels["end"]): sample.value
        for sample in samples(text)
        if sample.name == "vmctl_tasks_ended_total" and sample.value
    }
    assert counted == {("rebalance", "done"): 2.0, ("rebalance", "failed"): 1.0, ("reset", "failed"): 1.0}
    assert value(text, "vmctl_task_duration_seconds_count", kind="rebalance") == 3.0


def told(*ended: Task) -> str:
    """What is counted of these, in a controller that knows migrations."""
    counted = Meters(["migrate"])
    for task in ended:
        counted.task_ended(task)
    return generate_latest(cast(CollectorRegistry, counted)).decode()


MOVED = Task(1, "migrate", "vm0", 100.0, state=TaskState.DONE, result={"downtime_ms": 40}, ended_at=104.0)


@pytest.mark.parametrize(
    ("task", "how", "outcome"),
    [
        (MOVED, "live", "done"),
        (replace(MOVED, result={"cold": True, "stop_seconds": 3.0}), "cold", "done"),
        (replace(MOVED, state=TaskState.FAILED, result={}, args={"cold": True}), "cold", "failed"),
        (replace(MOVED, state=TaskState.FAILED, result={}, error={"code": "MigrationFailed"}), "live", "failed"),
        (replace(MOVED, state=TaskState.FAILED, result={}, error={"code": "Uncertain"}), "live", "unknown"),
        (replace(MOVED, state=TaskState.CANCELLED, result={}), "live", "cancelled"),
    ],
)
def test_a_migration_is_counted_by_how_it_ended(task: Task, how: str, outcome: str) -> None:
    text = told(task)
    found = [sample for sample in samples(text) if sample.name == "vmctl_migrations_total"]
    counted = {(sample.labels["how"], sample.labels["outcome"]): sample.value for sample in found}
    assert counted.pop((how, outcome)) == 1.0
    assert len(counted) == 7 and not any(counted.values()), "the others are there, at 0"
    moved = value(text, "vmctl_migration_duration_seconds_sum", how=how)
    assert moved == (4.0 if outcome == "done" else None)
    assert value(text, "vmctl_migration_pause_seconds_count") == (1.0 if task is MOVED else 0.0), "as libvirt said"


def test_no_time_is_made_up_of_a_clock_that_was_set_back() -> None:
    text = told(replace(MOVED, ended_at=99.0), replace(MOVED, kind="of a later version"))
    assert value(text, "vmctl_tasks_ended_total", kind="migrate", end="done") == 1.0
    assert value(text, "vmctl_task_duration_seconds_count", kind="migrate") is None
    assert value(text, "vmctl_tasks_ended_total", kind="other", end="done") == 1.0


async def test_the_event_loop_is_watched_while_it_is_served(tmp_path: Path) -> None:
    async with serving(controller := await full(tmp_path)):
        for _ in range(300):
            if value(text := await scraped(controller), "vmctl_event_loop_lag_seconds_count"):
                return
            await asyncio.sleep(0.05)
    raise AssertionError(text)
