"""One page of VMs: which of them are wanted, and from where on. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.model.records import VMRecord
from vmctl.model.rights import ALL, Sight


@dataclass(frozen=True, slots=True)
class Wanted:
    """VMs by name, at most so many after one; those that somebody may see, of a project, a host, an owner.

    Empty text: whichever. `begins`: how their names begin.
    """

    after: str = ""
    most: int = 500
    sight: Sight = ALL
    project: str = ""
    host: str = ""
    owner: str = ""
    begins: str = ""

    def fits(self, vm: VMRecord) -> bool:
        """Whether it is one of them."""
        return (
            vm.name > self.after
            and self.sight.shows(vm.thing)
            and self.project in ("", vm.project)
            and self.host in ("", vm.host)
            and self.owner in ("", vm.owner)
            and vm.name.startswith(self.begins)
        )
