# A start whose controller died, and whose VM somebody moved since, is not done a second time where it was.
seed 20030074
lawless
create web1
then
stop web1
killed at 114
then
start web1
then
move web1 kvm2
wait 5
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
> killed at 114
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> start web1
> then
  started: web1 runs on kvm1
> move web1 kvm2
> wait 5
> all is mended
  task 3 (start web1) failed web1 is not on kvm1: somebody moved it to kvm2
  found: web1 runs on kvm2, which is back
