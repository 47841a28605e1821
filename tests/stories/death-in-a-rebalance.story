# A controller dies in a rebalance: its move ends where it was, and the next rebalance moves that VM.
create web1 1024 kvm1
create web2 1024 kvm1
then
wait 30
rebalance
wait 1
kill
wait 5
controller
then
rebalance
then
== told
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
> wait 30
> rebalance
> wait 1
> kill
> wait 5
> controller
  task 3 (rebalance cluster) failed the controller ended while it ran, in step 'moving'
> then
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: the controller ended while it ran
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 4 (migrate web1) done
> rebalance
> then
  task 5 (rebalance cluster) done
> all is mended
