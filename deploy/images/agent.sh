#!/bin/sh
# The guest agent for the images.
#   agent.sh build OUT PYTHON   OUT/tree (for an initramfs) and OUT/vmctl-agent.deb; PYTHON has pyserial and tomli
set -eu
here=$(cd "$(dirname "$0")" && pwd)

build() {
    out=$1 python=$2
    "$python" "$here/../agent/build" --tree "$out/tree"
    "$python" "$here/../agent/build" --out "$out/dist"
    mv "$out"/dist/vmctl-agent_*.deb "$out/vmctl-agent.deb"
    rm -r "$out/dist"
}

"$@"
