# Somebody takes the VM's key out of the lockspace while it is off: it is made again.
create web1
then
stop web1
then
lose key web1
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
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> lose key web1
> start web1
> then
kvm1: made /shared/lockspace/UUID
  started: web1 runs on kvm1
  task 3 (start web1) done
> all is mended
