# A controller dies in a stop by force before it pulled the plug: the next one pulls it.
create web1
then
killed at 20
stop web1 force
wait 5
controller
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> killed at 20
> stop web1 force
> wait 5
> controller
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
