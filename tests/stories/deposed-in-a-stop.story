# Another controller takes over while a guest shuts down: the first one begins nothing any more, the other one ends it.
create web1
then
deposed at 25
stop web1
wait 5
then
start web1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> deposed at 25
> stop web1
> wait 5
another controller takes over
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> then
> start web1
> then
  started: web1 runs on kvm2
  task 3 (start web1) done
> all is mended
