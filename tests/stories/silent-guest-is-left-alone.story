# A guest whose host is cut off, or that is moved, is silent and not sick: nothing is done to it.
create web1
then
agent web1 well
treat web1 reset
wait 60
cut kvm1
wait 600
heal kvm1
wait 60
migrate web1 kvm2
then
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
> wait 60
  heal level: web1 may be treated: reset
> cut kvm1
> wait 600
  health: web1 is silent: nothing heard for 
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
> heal kvm1
> wait 60
  host back: kvm1 answers again, after 
  health: web1 is well: web in order
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> wait 60
> all is mended
