# A host loses its power just after a start was sent: whether it runs is not known, until the host's next boot says no.
lawless
create web1
then
stop web1
then
start web1 kvm1
wait 0.05
off kvm1
wait 100
start web1 kvm2
then
on kvm1
wait 60
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
> wait 0.05
> off kvm1
> wait 100
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
  task 3 (start web1) failed whether web1 was started on kvm1 is not known
> start web1 kvm2
> then
  task 4 (start web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
> on kvm1
> wait 60
  host back: kvm1 answers again, after 
  ended: web1 is no longer on kvm1: stopped; kvm1 was rebooted
  host rebooted: kvm1 was rebooted: what ran there has ended
  autostart: web1 should run: it is started again
  started: web1 runs on kvm1
  task 5 (start web1) done
> then
> all is mended
