# The target of a rebalance is drained before its move begins: the move asks the rules again, and nothing goes there.
create web1 1024 kvm1
create web2 1024 kvm1
then
wait 30
rebalance
drain kvm2
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
> drain kvm2
> then
  drain: kvm2 is being drained
  drained: kvm2 is drained: 0 VMs left it
  task 4 (drain kvm2) done
  task 5 (migrate web1) failed none of 1 hosts can take web1
  task 3 (rebalance cluster) failed 0 of 1 moves done
> all is mended
