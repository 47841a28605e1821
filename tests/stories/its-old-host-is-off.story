# A VM has moved, and its old host loses its power: it stops and starts as if nothing was, as it can no longer be there.
create web1
then
migrate web1 kvm2
then
off kvm1
wait 60
stop web1
then
start web1
then
on kvm1
wait 60
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> off kvm1
> wait 60
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since 
> stop web1
> then
  stopped: web1 was stopped on kvm2
  task 3 (stop web1) done
> start web1
> then
  started: web1 runs on kvm3
  task 4 (start web1) done
> on kvm1
> wait 60
  host back: kvm1 answers again, after 
  host rebooted: kvm1 was rebooted: what ran there has ended
> all is mended
