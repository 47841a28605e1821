# A guest whose agent says nothing while its host is cut off is not treated.
create web1
then
agent web1 well
treat web1 reset
then
wait 30
cut kvm1
wait 500
heal kvm1
wait 60
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> agent web1 well
> treat web1 reset
> then
  heal level: web1 may be treated: reset
> wait 30
> cut kvm1
> wait 500
  health: web1 is silent: nothing heard for 
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
> heal kvm1
> wait 60
  host back: kvm1 answers again, after 
  health: web1 is well: web in order
> all is mended
