"""The error tree, named by who must act. Pure.

    VmctlError                      exit  who acts
    ├── Usage                        2    you: the command is malformed
    ├── Refused                      3    you: what you ask for is impossible or unsafe now
    │   ├── AlreadyRuns              3    you: another controller holds the registry
    │   ├── NotMounted               3    you: a storage is not mounted on a host that needs it
    │   ├── Overtaken                3    you: somebody else has changed the VM meanwhile
    │   ├── OverLimit                3    you: a user or a project has as much as it may have
    │   └── NoHostFits               3    you: no host can take it; one line per host says why
    ├── NotFound                     4    you: no such thing
    ├── NotAllowed                   5    you: the controller or a host does not let you
    │   └── NotLoggedIn              5    you: the controller does not know who you are
    ├── TooManyRequests              3    you: wait, and ask again
    ├── TimedOut                     6    --timeout ran out; the work goes on
    ├── PartlyFailed                 7    you: some of it was done, some not
    ├── HostError                    8    the host's admin
    │   ├── Unreachable              8    the network or the host is down
    │   ├── NoAnswer                 8    libvirt did not answer; it may still do what was asked
    │   ├── NotSent                  8    the link was lost before libvirt was asked: surely not done, can be repeated
    │   ├── HostKeyChanged           8    somebody reinstalled the host, or sits in between
    │   ├── CommandFailed            1    a command or a libvirt call on the host failed
    │   ├── LibvirtError             1    libvirt or QEMU said no
    │   ├── MissingLease             1    a VM runs without its lease
    │   └── Unreadable               8    what a host sent is not what was asked for
    ├── ControllerUnreachable        8    no controller answers
    ├── RegistryUnusable             1    the controller's admin: its file is damaged, newer, full or read-only
    ├── MigrationFailed              1    the VM runs on, on the host it names
    ├── Uncertain                    1    an outcome is not known; both hosts and their answers are named
    └── Cancelled                  130    you asked for it; nothing is half done

Each error carries the sentence that names the cause and, where there is one, the next command (`hint`). The tree is
closed: all of it is in this file, as its names go over the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class VmctlError(Exception):
    """Root of the tree: `message` names the cause, `hint` the next command, `lines` the details."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.lines = tuple(lines)

    @property
    def code(self) -> str:
        """The stable name used on the wire."""
        return type(self).__name__


class Usage(VmctlError):
    """The command is malformed."""

    exit_code = 2


class Refused(VmctlError):
    """What was asked for is impossible or unsafe now."""

    exit_code = 3


class AlreadyRuns(Refused):
    """Another controller holds the registry."""


class Overtaken(Refused):
    """Somebody else has changed the VM since it was looked at."""

    uuid = ""  # of the VM, where it is known


class OverLimit(Refused):
    """A user or a project has as much as it may have."""


class NotMounted(Refused):
    """A host does not have a storage now, that was proven there."""


class NoHostFits(Refused):
    """No host can take the VM; `lines` has one line per host."""


class NotFound(VmctlError):
    """No such host, VM, task, image or storage."""

    exit_code = 4


class NotAllowed(VmctlError):
    """The controller or a host does not let you."""

    exit_code = 5


class NotLoggedIn(NotAllowed):
    """The controller does not know who asks."""


class TooManyRequests(VmctlError):
    """Somebody asks, or fails to log in, too often."""

    exit_code = 3


class TimedOut(VmctlError):
    """The time the caller gave ran out; the work goes on."""

    exit_code = 6


class PartlyFailed(VmctlError):
    """Some of it was done; `lines` says what was not."""

    exit_code = 7


class HostError(VmctlError):
    """Something about one host, for its admin."""

    exit_code = 8


class Unreachable(HostError):
    """The network or the host is down, or it does not answer in time."""


class NoAnswer(HostError):
    """libvirt did not answer in time. Never an abort: what was asked may still happen, so look before the next step."""


class NotSent(HostError):
    """The link to the host was lost before libvirt was asked: it was surely not done, and can be asked for again."""


class HostKeyChanged(HostError):
    """The host shows another SSH key than the one pinned at `host add`. Nothing was sent to it."""


class CommandFailed(HostError):
    """A command ran on the host and failed."""

    exit_code = 1


class LibvirtError(HostError):
    """libvirt or QEMU refused; `code_number` is libvirt's own (VIR_ERR_*)."""

    exit_code = 1

    def __init__(self, message: str, *, code_number: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code_number = code_number


class MissingLease(HostError):
    """A VM runs without its lease, or a host's lock manager gives none: a second copy could start elsewhere."""

    exit_code = 1


class Unreadable(HostError):
    """A host's answer is not what its command prints."""


class ControllerUnreachable(VmctlError):
    """No controller answers where the context points. `heard`: it may have heard what it was asked."""

    exit_code = 8
    heard = False


class NoLeader(ControllerUnreachable):
    """This controller does not lead, and who does cannot be reached, or nobody does just now."""


class RegistryUnusable(VmctlError):
    """The registry cannot be read or written: its file, what is wrong with it, and the way out."""


class MigrationFailed(VmctlError):
    """The migration ended without moving the VM; it runs on the host that the message names."""


class Uncertain(VmctlError):
    """An outcome could not be established; `lines` has what each host answered. Nothing more is done to the VM."""


class Cancelled(VmctlError):
    """The task stopped because somebody asked for it; nothing is half done."""

    exit_code = 130


TREE: Mapping[str, type[VmctlError]] = {
    kind.__name__: kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, VmctlError)
}


def by_code(code: str) -> type[VmctlError]:
    """The class of that name, so that a client raises what the controller raised; the root when unknown."""
    return TREE.get(code, VmctlError)


def made(kind: type[VmctlError], message: str, hint: str = "", lines: tuple[str, ...] = ()) -> VmctlError:
    """An error of a class of the tree, whatever else that class is told where it is raised at first."""
    err = kind.__new__(kind)
    VmctlError.__init__(err, message, hint=hint, lines=lines)
    return err


def error_to_json(err: VmctlError) -> dict[str, Any]:
    """An error for the wire and the registry; `error_from_json` makes the same class of it again."""
    return {
        "code": err.code,
        "exit_code": err.exit_code,
        "message": err.message,
        "hint": err.hint,
        "lines": list(err.lines),
    }


def error_from_json(raw: Mapping[str, Any]) -> VmctlError:
    """The error that was sent, of the same class; one that is not known here keeps its words and its exit code."""
    kind = by_code(raw["code"])
    err = made(kind, raw["message"], raw.get("hint", ""), tuple(raw.get("lines", ())))
    err.exit_code = raw.get("exit_code", kind.exit_code)
    return err
