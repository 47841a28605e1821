#!/bin/sh
# debian-12 with what users run in it, for the tests of services: Apache and Tomcat, watched by the agent.
image=debian-web more_packages=,apache2,tomcat10
export image more_packages
exec "$(dirname "$0")/debian-12.sh" "$@"
