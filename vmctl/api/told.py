"""What a controller tells another one of the guests whose ports it reads; nobody else may ask."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request

from vmctl.api.peers import is_controller
from vmctl.api.routes import Plain
from vmctl.errors import NotFound, Usage

GUESTS = "/controllers/guests"


async def guests(request: Request) -> Plain:
    """What guests have told, by their VMs' UUIDs: those that are asked for and are read here."""
    if not is_controller(request):
        raise NotFound(f"the API has no POST {GUESTS}")
    try:
        asked = await request.json()
    except ValueError:
        asked = None
    if not isinstance(asked, list):
        raise Usage("a list of VMs' UUIDs is needed")
    found = request.app.state.door.guests_read_here([str(vm) for vm in asked])
    return Plain({vm: asdict(told) for vm, told in found.items()})
