# A VM is made, its start is done and not answered, and its host is cut off: its disk stays, as it may run.
fate kvm1 create unanswered
create web1
wait 2
cut kvm1
wait 120
heal kvm1
then
== told
> fate kvm1 create unanswered
> create web1
> wait 2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
> cut kvm1
> wait 120
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
  task 1 (create web1) failed whether web1 was started on kvm1 is not known
> heal kvm1
> then
> all is mended
  host back: kvm1 answers again, after 
  changed: web1 on kvm1 is running (was unknown)
