# A paused VM is not moved by a rebalance, though it weighs: the other one goes.
create web1 1024 kvm1
create web2 1024 kvm1
then
pause web1
then
wait 30
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
> pause web1
> then
  pause: web1 on kvm1: pause
  task 3 (pause web1) done
> wait 30
> rebalance
> then
  migrated: web2 moved kvm1 -> kvm3, paused 40 ms
  task 5 (migrate web2) done
  task 4 (rebalance cluster) done
> all is mended
