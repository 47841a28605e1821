# Somebody migrates a VM to a host that is then cut off: it left, so it runs somewhere, and is not started.
lawless
create web1
then
move web1 kvm2
wait 2.75
cut kvm2
wait 60
start web1 kvm3
wait 10
heal kvm2
wait 30
== told
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> move web1 kvm2
> wait 2.75
> cut kvm2
> wait 60
  ended: web1 is no longer on kvm1: may still run on kvm2; somebody may have moved it to kvm2, and no answer comes from there
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since ; what ran there may go on: web1
> start web1 kvm3
> wait 10
  task 2 (start web1) failed web1 may still run on kvm2, which does not answer: kvm2: no route to host
> heal kvm2
> wait 30
  host back: kvm2 answers again, after 
  found: web1 runs on kvm2, which is back
> all is mended
