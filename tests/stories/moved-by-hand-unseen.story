# The same while no controller lives.
create web1
then
kill
move web1 kvm2
wait 10
controller
wait 20
stop web1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> kill
> move web1 kvm2
> wait 10
> controller
> wait 20
  found: web1 runs on kvm2, not on kvm1
> stop web1
> then
  stopped: web1 was stopped on kvm2
  task 2 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
