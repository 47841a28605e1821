"""What is counted as it happens: ends of tasks, migrations, requests, how late the loop is. A controller begins at 0.

What can be looked up when somebody asks is in `door/metrics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, disable_created_metrics

from vmctl.model.records import Task, TaskState

OTHER = "other"  # of a version that has other commands, or a method that HTTP does not know
ENDS = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)
HOW = ("live", "cold")
UNKNOWN = "unknown"  # a migration of which nobody knows how it ended
OUTCOMES = (*map(str, ENDS), UNKNOWN)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TASK_S = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
PAUSE_S = (0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
REQUEST_S = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
LAG_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)


class Meters:
    """One controller's. A counter is there before the first thing is counted: a rise from nothing is not seen."""

    def __init__(self, kinds: Iterable[str]) -> None:
        # Of each counter when it began: as many series again, and nobody asks for them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._kinds = frozenset(kinds)
        self._registry = CollectorRegistry(auto_describe=False)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self._registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=self._registry)

        self._ended = counter("vmctl_tasks_ended", "Tasks that have ended, by how.", "kind", "end")
        self._took = histogram("vmctl_task_duration_seconds", "From a task's acceptance to its end.", TASK_S, "kind")
        self._migrations = counter("vmctl_migrations", "Migrations that have ended, by how.", "how", "outcome")
        text = "From the acceptance of a migration that moved its VM to its end."
        self._moved = histogram("vmctl_migration_duration_seconds", text, TASK_S, "how")
        text = "For how long a guest stood still in a live migration, where libvirt said so."
        self._paused = histogram("vmctl_migration_pause_seconds", text, PAUSE_S)
        text = "Requests that were answered, by the route's template."
        self._requests = counter("vmctl_api_requests", text, "route", "method", "status")
        text = "From a request to the first byte of its answer."
        self._answers = histogram("vmctl_api_request_duration_seconds", text, REQUEST_S, "route", "method")
        text = "How much later than asked for the event loop went on, measured each second."
        self._lag = histogram("vmctl_event_loop_lag_seconds", text, LAG_S)
        for kind in sorted(self._kinds):
            for end in ENDS:
                self._ended.labels(kind, end)
        for how in HOW:
            for outcome in OUTCOMES:
                self._migrations.labels(how, outcome)

    def collect(self) -> Iterable[Metric]:
        """All that was counted so far."""
        return self._registry.collect()

    def task_ended(self, task: Task) -> None:
        """A task has ended, as this row says."""
        kind = task.kind if task.kind in self._kinds else OTHER
        self._ended.labels(kind, task.state).inc()
        took_s = -1.0 if task.ended_at is None else task.ended_at - task.created_at
        if took_s >= 0:  # else the clock was set back meanwhile
            self._took.labels(kind).observe(took_s)
        if kind == "migrate":
            self._migration_ended(task, took_s)

    def _migration_ended(self, task: Task, took_s: float) -> None:
        how = "cold" if task.result.get("cold") or task.args.get("cold") else "live"
        uncertain = task.error.get("code") == "Uncertain"
        self._migrations.labels(how, UNKNOWN if uncertain else task.state).inc()
        if task.state is TaskState.DONE and took_s >= 0:
            self._moved.labels(how).observe(took_s)
        if (downtime_ms := task.result.get("downtime_ms")) is not None:
            self._paused.observe(downtime_ms / 1000)

    def answered(self, route: str, method: str, status: int, took_s: float) -> None:
        """A request was answered; `route` is its template, which has no names in it."""
        method = method if method in METHODS else OTHER
        self._requests.labels(route, method, status).inc()
        self._answers.labels(route, method).observe(took_s)

    def lagged(self, late_s: float) -> None:
        """The loop went on so much later than it was asked to."""
        self._lag.observe(late_s)
