"""Lets other controllers into a host: their keys in the authorized_keys of the user that controllers log in as.

Only lines that are tagged as a controller's are ever taken away; all others stay as they are, byte by byte. The file
gets its new contents by a rename, so that nobody is locked out by a full disk or a power cut in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable

from vmctl.errors import CommandFailed
from vmctl.hosts.port import Link
from vmctl.model.joining import TAG

CHANGED = 75  # how the script ends where somebody else has just changed the file: it is tried again
TRIES = 3
LET_IN = f"""umask 077
file=$HOME/.ssh/authorized_keys
[ -d "$HOME/.ssh" ] || mkdir "$HOME/.ssh" || exit 1
[ -e "$file" ] || : >"$file" || exit 1
file=$(readlink -f "$file") || exit 1
new=$file.vmctl-$$ was=$file.vmctl-was-$$
trap 'rm -f "$new" "$was"' EXIT
cp -p "$file" "$was" && cp -p "$file" "$new" || exit 1
{{ LC_ALL=C grep -av ' {TAG}[0-9a-f]*$' "$was"; [ $? -lt 2 ]; }} >"$new" || exit 1
for line; do printf '%s\\n' "$line" >>"$new" || exit 1; done
cmp -s "$new" "$was" && exit 0
sync "$new" || exit 1
cmp -s "$file" "$was" || exit {CHANGED}
mv -f "$new" "$file"
"""


async def let_in(link: Link, lines: Iterable[str]) -> None:
    """See that exactly these controllers' keys are there. Raises HostError."""
    wanted = sorted(lines)
    for last in range(TRIES):
        done = await link.ssh.run(("sh", "-c", LET_IN, "sh", *wanted), check=False)
        if done.status == 0:
            return
        if done.status != CHANGED or last == TRIES - 1:
            raise CommandFailed(f"{link.name}: its authorized_keys cannot be written: {done.err.strip() or done.out}")
