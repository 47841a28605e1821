# The source loses its power in a migration: the VM runs nowhere, and is started again once its host is back.
create web1
then
wait 10
migrate web1 kvm2
wait 1
off kvm1
wait 60
on kvm1
wait 60
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> wait 10
> migrate web1 kvm2
> wait 1
> off kvm1
> wait 60
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
  alarm: where web1 runs is not certain; kvm1: does not answer (kvm1: no route to host); kvm2: not there
  task 2 (migrate web1) failed where web1 runs is not certain
> on kvm1
> wait 60
  host back: kvm1 answers again, after 
  ended: web1 is no longer on kvm1: stopped; kvm1 was rebooted
  host rebooted: kvm1 was rebooted: what ran there has ended
  autostart: web1 should run: it is started again
  started: web1 runs on kvm1
  task 3 (start web1) done
> then
> all is mended
