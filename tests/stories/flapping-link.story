# A host comes and goes: its VM is never started elsewhere, and a start that waits for it finds it running.
lawless
create web1 1024 kvm1
then
cut kvm1
wait 12
heal kvm1
wait 12
cut kvm1
wait 20
heal kvm1
wait 8
cut kvm1
wait 20
heal kvm1
wait 12
cut kvm1
wait 2
start web1 kvm2
wait 10
heal kvm1
then
== told
> lawless
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> cut kvm1
> wait 12
> heal kvm1
> wait 12
> cut kvm1
> wait 20
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
> heal kvm1
> wait 8
  host back: kvm1 answers again, after 
> cut kvm1
> wait 20
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
> heal kvm1
> wait 12
  host back: kvm1 answers again, after 
> cut kvm1
> wait 2
> start web1 kvm2
> wait 10
> heal kvm1
> then
  task 2 (start web1) failed web1 already runs on kvm1 (running)
> all is mended
