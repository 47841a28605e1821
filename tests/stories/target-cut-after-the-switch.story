# The target is cut off just after the guest went there: nothing starts elsewhere until it speaks.
lawless
create web1
then
fate kvm1 finish unanswered
migrate web1 kvm2
wait 2.31
cut kvm2
wait 60
start web1 kvm3
wait 5
heal kvm2
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
> fate kvm1 finish unanswered
> migrate web1 kvm2
> wait 2.31
> cut kvm2
> wait 60
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since ; may run on there: web1
  alarm: where web1 runs is not certain; kvm1: not there; kvm2: does not answer (kvm2: no route to host)
  task 2 (migrate web1) failed where web1 runs is not certain
  ended: web1 is no longer on kvm1: may still run on kvm2; it ended by itself, or somebody ended it
> start web1 kvm3
> wait 5
  task 3 (start web1) failed web1 may still run on kvm2, which does not answer: kvm2: no route to host
> heal kvm2
> wait 30
  host back: kvm2 answers again, after 
  found: web1 runs on kvm2, which is back
> then
> all is mended
