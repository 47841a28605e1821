# Somebody moves it to another host than the drain: the task says where it is, or that nobody knows.
create web1
then
drain kvm1
wait 0.05
move web1 kvm3
wait 2.85
cut kvm3
wait 30
delete web1
wait 5
heal kvm3
wait 30
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> drain kvm1
> wait 0.05
  drain: kvm1 is being drained
> move web1 kvm3
> wait 2.85
> cut kvm3
> wait 30
  alarm: web1 is neither on kvm1 nor on kvm2: somebody may have moved it to kvm3, and no answer comes from there
  task 3 (migrate web1) failed where web1 runs is not certain: somebody may have moved it to kvm3, and no answer comes from there
  task 2 (drain kvm1) failed 0 of 1 moves done
  host lost: kvm3 does not answer: kvm3: the SSH connection was lost: no answer since ; what ran there may go on: web1
> delete web1
> wait 5
  task 4 (delete web1) failed web1 may still run on kvm3, which does not answer: kvm3: no route to host
> heal kvm3
> wait 30
  host back: kvm3 answers again, after 
  found: web1 runs on kvm3, which is back
> all is mended
