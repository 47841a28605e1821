#!/bin/sh
# The smallest guest that behaves like one.
#   tiny.sh disk OUT                              OUT/tiny.qcow2: 16 MiB, no file system, our mark in block 0
#   tiny.sh boot OUT KERNEL AUTHORIZED_KEYS AGENT OUT/initrd: busybox, dropbear, modules, the agent and its Python
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

disk() {
    out=$1
    printf '%-4096s' vmctl-tiny > "$out/disk.raw"
    truncate -s 16M "$out/disk.raw"
    qemu-img convert -f raw -O qcow2 "$out/disk.raw" "$out/tiny.qcow2"
    rm "$out/disk.raw"
}

# The agent, and of Python only what it loads; compiled, since an emulated CPU takes a second for that.
add_agent() {
    python=$(readlink -f "$(command -v python3)")
    case $python in /usr/bin/*) ;; *) python=$(readlink -f /usr/bin/python3) ;; esac
    add_program "$1" "$python"
    mkdir -p "$1/usr/bin" "$1/usr/lib"
    mv "$1/bin/${python##*/}" "$1/usr/bin/python3"
    cp -R "$2" "$1/usr/lib/vmctl-agent"
    "$python" -I -S "$here/python-parts.py" "$2" | while read -r file; do
        mkdir -p "$1${file%/*}"
        cp "$file" "$1$file"
    done
    "$python" -I -m compileall -q -b "$1/usr/lib"
    find "$1/usr/lib" -name '*.py' -delete
    find "$1/usr/lib" -name __pycache__ -type d -exec rm -r {} +
}

boot() {
    out=$1 kernel=$2 authorized_keys=$3 agent=$4 root=$1/root
    mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/root/.ssh" "$root/etc/dropbear"
    add_busybox "$root"
    add_program "$root" "$(command -v dropbear)"
    add_agent "$root" "$agent/tree"
    cp -R "$here/tiny/root/." "$root/"
    cp "$authorized_keys" "$root/root/.ssh/authorized_keys"
    chmod 700 "$root/root" "$root/root/.ssh"
    chmod 600 "$root/root/.ssh/authorized_keys"
    dropbearkey -t ed25519 -f "$root/etc/dropbear/dropbear_ed25519_host_key" > /dev/null 2>&1
    for module in virtio_pci virtio_net virtio_blk virtio_console virtio_rng virtio_balloon button evdev; do
        add_module "$kernel" "$root" "$module"
    done
    pack "$root" "$out/initrd"
    rm -r "$root"
}

"$@"
