#!/bin/sh
# kernel.sh OUT: OUT/vmlinuz and OUT/modules, of Debian's cloud kernel.
set -eu
. "$(dirname "$0")/lib.sh"
fetch_kernel "$1"
