# A start by name on a host without its mount is refused with the cause; without a name another host takes it.
create web1 1024 kvm1
then
stop web1
then
unmount kvm1
start web1 kvm1
then
start web1
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> unmount kvm1
> start web1 kvm1
> then
  task 3 (start web1) failed storage shared is not mounted on kvm1: /shared/lockspace is not there
> start web1
> then
  started: web1 runs on kvm2
  task 4 (start web1) done
> all is mended
