#!/bin/sh
# debian-12 with log-ins that systemd keeps as sessions, for the tests of runs: who logs in has a service manager.
image=debian-login more_packages=,libpam-systemd,dbus-user-session
export image more_packages
exec "$(dirname "$0")/debian-12.sh" "$@"
