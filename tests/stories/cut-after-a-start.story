# A host is cut off just after it has started a VM: nothing starts elsewhere, where no lock guards the disk either.
lawless
create web1
then
stop web1
then
start web1 kvm1
wait 0.09
cut kvm1
wait 200
start web1 kvm2
wait 10
heal kvm1
wait 30
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
> start web1 kvm1
> wait 0.09
  started: web1 runs on kvm1
  task 3 (start web1) done
> cut kvm1
> wait 200
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
> start web1 kvm2
> wait 10
  task 4 (start web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
> heal kvm1
> wait 30
  host back: kvm1 answers again, after 
> then
> all is mended
