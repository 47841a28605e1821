# A rebalance where nothing is to be gained moves nothing.
create web1
then
wait 20
rebalance
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> wait 20
> rebalance
> then
  task 2 (rebalance cluster) done
> all is mended
