# A host that is cut off may still run its VM: nothing starts elsewhere, even where no lock guards the disk.
lawless
create web1
then
cut kvm1
wait 60
start web1
start web1 kvm2
delete web1
then
heal kvm1
wait 30
stop web1
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
> cut kvm1
> wait 60
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
> start web1
> start web1 kvm2
> delete web1
> then
  task 3 (start web1) failed web1 is busy: start (task 2) holds it
  task 4 (delete web1) failed web1 is busy: start (task 2) holds it
  task 2 (start web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
> heal kvm1
> wait 30
  host back: kvm1 answers again, after 
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 5 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 6 (start web1) done
