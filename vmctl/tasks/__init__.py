"""Accepted commands: journalled before they act, followed while they run, always brought to an end."""

from vmctl.tasks.engine import Handler as Handler
from vmctl.tasks.engine import Tasks as Tasks
from vmctl.tasks.job import AnyJob as AnyJob
from vmctl.tasks.job import Job as Job
from vmctl.tasks.job import TaskNow as TaskNow
from vmctl.tasks.job import now as now
