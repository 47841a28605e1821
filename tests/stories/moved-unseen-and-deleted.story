# Moved by hand while no controller lived, to a host that is silent then: it may run there, and its disks stay.
create web1
then
kill
move web1 kvm2
wait 5
cut kvm2
controller
wait 60
start web1 kvm3
wait 10
delete web1
wait 10
heal kvm2
wait 30
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
> wait 5
> cut kvm2
> controller
  ended: web1 is no longer on kvm1: may still run on kvm2; somebody may have moved it to kvm2, and no answer comes from there
> wait 60
  host lost: kvm2 does not answer: kvm2: no route to host; what ran there may go on: web1
> start web1 kvm3
> wait 10
  task 2 (start web1) failed web1 may still run on kvm2, which does not answer: kvm2: no route to host
> delete web1
> wait 10
  task 3 (delete web1) failed web1 may still run on kvm2, which does not answer: kvm2: no route to host
> heal kvm2
> wait 30
  host back: kvm2 answers again, after 
  found: web1 runs on kvm2, which is back
> all is mended
