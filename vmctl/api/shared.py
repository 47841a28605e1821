"""What all routes use: the controller of the request, and tasks as answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from vmctl.controller import Controller
from vmctl.tasks import as_json


def _controller(request: Request) -> Controller:
    found: Controller = request.app.state.controller
    return found


Now = Annotated[Controller, Depends(_controller)]


async def submit(controller: Controller, kind: str, subject: str, **args: Any) -> dict[str, Any]:
    """Accept a command; the answer is its task."""
    task = await controller.tasks.submit(kind, subject, "local user", **args)
    return as_json(task, controller.tasks.live(task.id))
