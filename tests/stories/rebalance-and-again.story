# A rebalance has done all there is to do: the next two move nothing back and forth.
create web1 1024 kvm1
create web2 1024 kvm1
then
wait 30
rebalance
then
wait 30
rebalance
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
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 4 (migrate web1) done
  task 3 (rebalance cluster) done
> wait 30
> rebalance
> then
  task 5 (rebalance cluster) done
> rebalance
> then
  task 6 (rebalance cluster) done
> all is mended
