#!/bin/sh
# The lab's storage over a network: a GlusterFS server of one brick, on the lab's bridge. Two steps:
#   gluster.sh enter     in a mount namespace of its own, as the server's own files are in fixed places
#   gluster.sh serve     private /run and logs, then glusterd
# Environment: GLUSTER_DIR GLUSTER_ADDRESS
set -eu

enter() {
    exec unshare --mount "$0" serve
}

serve() {
    mkdir -p "$GLUSTER_DIR/state" "$GLUSTER_DIR/run" "$GLUSTER_DIR/log/bricks" "$GLUSTER_DIR/lib"
    for place in run/gluster var/log/glusterfs var/lib/glusterd; do
        mkdir -p "/$place"
    done
    mount --bind "$GLUSTER_DIR/run" /run/gluster
    mount --bind "$GLUSTER_DIR/log" /var/log/glusterfs
    mount --bind "$GLUSTER_DIR/lib" /var/lib/glusterd
    cat > "$GLUSTER_DIR/glusterd.vol" <<END
volume management
    type mgmt/glusterd
    option working-directory /var/lib/glusterd
    option transport-type socket
    option transport.socket.bind-address $GLUSTER_ADDRESS
    option transport.socket.listen-port 24007
    option glusterd-sockfile /run/gluster/glusterd.socket
    option ping-timeout 0
    option max-port 60999
end-volume
END
    exec glusterd -N -f "$GLUSTER_DIR/glusterd.vol" -l "$GLUSTER_DIR/log/glusterd.log" -p "$GLUSTER_DIR/glusterd.pid"
}

"$@"
