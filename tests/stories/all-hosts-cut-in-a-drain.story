# The controller is cut off from every host in the middle of a drain: what it does not see it does not move, and nothing is lost.
lawless
create web1 1024 kvm1
create web2 1024 kvm1
then
drain kvm1
wait 1
cut kvm1
cut kvm2
cut kvm3
wait 60
heal kvm1
heal kvm2
heal kvm3
wait 30
drain kvm1
then
== told
> lawless
> create web1 1024 kvm1
> create web2 1024 kvm1
> then
kvm1: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm1
  task 1 (create web2) done
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> drain kvm1
> wait 1
  drain: kvm1 is being drained
> cut kvm1
> cut kvm2
> cut kvm3
> wait 60
  host lost: kvm3 does not answer: kvm3: the SSH connection was lost: no answer since 
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1, web2
  alarm: where web1 runs is not certain; kvm1: does not answer (kvm1: no route to host); kvm2: does not answer (kvm2: no route to host)
  task 4 (migrate web1) failed where web1 runs is not certain
  task 5 (migrate web2) failed web2 no longer fits on kvm3: the host is unknown: kvm3: no route to host
  task 3 (drain kvm1) failed 0 of 2 moves done
> heal kvm1
> heal kvm2
> heal kvm3
> wait 30
  host back: kvm3 answers again, after 
  host back: kvm1 answers again, after 
  changed: web1 on kvm1 is running (was unknown)
  host back: kvm2 answers again, after 
> drain kvm1
> then
  drain: kvm1 is being drained
  migrated: web2 moved kvm1 -> kvm3, paused 40 ms
  task 8 (migrate web2) done
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 7 (migrate web1) done
  drained: kvm1 is drained: 2 VMs left it
  task 6 (drain kvm1) done
> all is mended
