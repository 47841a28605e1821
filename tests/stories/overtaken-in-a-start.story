# Another controller takes a start over while the first one lives: one QEMU, one end.
lawless
create web1
then
stop web1
then
deposed at 20
start web1
then
wait 20
== told
> lawless
> create web1
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
> deposed at 20
> start web1
> then
another controller takes over
  started: web1 runs on kvm1
  task 3 (start web1) done
> wait 20
> all is mended
