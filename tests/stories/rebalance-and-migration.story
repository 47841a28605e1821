# A rebalance and a migration want the same VM: it moves once.
create web1 1024 kvm1
create web2 1024 kvm1
then
wait 30
migrate web1
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
> migrate web1
> rebalance
> then
  task 5 (migrate web1) failed web1 is busy: migrate (task 4) holds it
  task 3 (rebalance cluster) failed 0 of 1 moves done
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 4 (migrate web1) done
> all is mended
