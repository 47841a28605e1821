# A stop by force in the moment of somebody's switch-over: its plug is not pulled before that is clear.
create web1
then
move web1 kvm2
wait 2.75
stop web1 force
then
wait 15
stop web1 force
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> move web1 kvm2
> wait 2.75
> stop web1 force
> then
  task 2 (stop web1) failed web1 is not on kvm1 any more: somebody moved it to kvm2
> wait 15
  found: web1 runs on kvm2, not on kvm1
> stop web1 force
> then
  stopped: web1 was stopped on kvm2
  task 3 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 4 (start web1) done
