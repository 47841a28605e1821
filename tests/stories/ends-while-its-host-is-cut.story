# A guest ends on a host that is cut off: nobody can know, so it starts elsewhere only when the host is back.
lawless
create web1
then
cut kvm1
wait 60
guest web1 ends
start web1 kvm2
wait 10
heal kvm1
wait 30
start web1 kvm2
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
> guest web1 ends
> start web1 kvm2
> wait 10
  task 2 (start web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
> heal kvm1
> wait 30
  host back: kvm1 answers again, after 
  ended: web1 is no longer on kvm1: stopped; it ended by itself, or somebody ended it
> start web1 kvm2
> then
  started: web1 runs on kvm2
  task 3 (start web1) done
> all is mended
