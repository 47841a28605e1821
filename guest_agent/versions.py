"""Which version a program is: that of the package its file came with. Asked of dpkg or rpm for many files at once, long
after the boot and seldom, since it reads thousands of files; what is not in a package stays unknown."""

import os

from guest_agent.child import Child

FIRST_AFTER_S = 30.0
PAUSE_S = 60.0
ANSWER_WITHIN_S = 60.0
AT_ONCE = 200  # files in one question
DPKG, RPM = "/usr/bin/dpkg-query", "/usr/bin/rpm"


def owners(search: str) -> "dict[str, str]":
    """`dpkg-query --search`: path -> package. "libc6:amd64, libc6:i386: /path"; diversions are lines of their own."""
    found = {}
    for line in search.splitlines():
        packages, colon, path = line.rpartition(": ")
        if colon and path.startswith("/") and not packages.startswith("diversion by "):
            found[path] = packages.split(", ")[0]
    return found


def versions(show: str) -> "dict[str, str]":
    """Lines "package version"; a package with an architecture is known without it, too."""
    found = {}
    for line in show.splitlines():
        package, _, version = line.partition(" ")
        if version and " " not in version:
            found[package] = found[package.partition(":")[0]] = version[:64]
    return found


def spellings(path: str) -> "list[str]":
    """Where /bin is a link to /usr/bin, packages may name either."""
    return [path, path[4:]] if path.startswith("/usr/") else [path]


class Versions:
    """`known` by path; "" is an answer, too."""

    def __init__(self, now: float) -> None:
        self.known: dict[str, str] = {}
        self._next = now + FIRST_AFTER_S
        self._child: Child | None = None
        self._asked: list[str] = []
        self._owners: dict[str, str] | None = None

    def wants(self, now: float) -> bool:
        """Whether it is time to hand over the paths of programs."""
        return self._child is None and now >= self._next and (os.path.exists(DPKG) or os.path.exists(RPM))

    def ask(self, now: float, paths: "list[str]") -> None:
        """Begin to find out about those that are not known."""
        self._next = now + PAUSE_S
        self._asked = sorted(set(paths) - self.known.keys())[:AT_ONCE]
        if not self._asked:
            return
        if os.path.exists(DPKG):
            words = [DPKG, "--search", *[spelling for path in self._asked for spelling in spellings(path)]]
        else:
            words = [RPM, "-qf", "--qf", "%{VERSION}-%{RELEASE}\\n", *self._asked]
        self._child, self._owners = Child(words, now + ANSWER_WITHIN_S), None

    def fds(self) -> "list[int]":
        """What to wait for."""
        return [self._child.fd] if self._child is not None else []

    def poll(self, now: float) -> bool:
        """Take an answer; whether `known` has grown."""
        if self._child is None or not self._child.poll(now):
            return False
        text, self._child = self._child.text, None
        if not os.path.exists(DPKG):
            return self._learn(_in_order(self._asked, text))
        if self._owners is None:  # the first of two questions
            self._owners = owners(text)
            packages = sorted(set(self._owners.values()))
            if packages:
                show = [DPKG, "--show", "--showformat=${binary:Package} ${Version}\\n", *packages]
                self._child = Child(show, now + ANSWER_WITHIN_S)
                return False
        known, mine = versions(text), self._owners
        owner = {path: next((mine[s] for s in spellings(path) if s in mine), "") for path in self._asked}
        return self._learn({path: known.get(package, "") for path, package in owner.items()})

    def _learn(self, found: "dict[str, str]") -> bool:
        self.known.update(found)
        return any(found.values())


def _in_order(paths: "list[str]", text: str) -> "dict[str, str]":
    """rpm prints one line per file, in order; a sentence for one that no package owns."""
    lines = text.splitlines()
    if len(lines) != len(paths):
        return dict.fromkeys(paths, "")
    return {path: "" if " " in line else line[:64] for path, line in zip(paths, lines)}
