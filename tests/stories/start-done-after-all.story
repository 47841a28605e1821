# A start is done after its caller gave up: it is looked for, and no second one was begun meanwhile.
lawless
create web1
then
stop web1
then
fate kvm1 create late
start web1 kvm1
wait 61
start web1 kvm2
wait 5
then
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
> fate kvm1 create late
> start web1 kvm1
> wait 61
> start web1 kvm2
> wait 5
  task 4 (start web1) failed web1 is busy: start (task 3) holds it
  started: web1 runs on kvm1
  task 3 (start web1) done
> then
> all is mended
