# A host that drains is no place for what another one loses.
drain kvm3
then
create web1 256 kvm1
then
create web2 256 kvm3
drain kvm1
then
== told
> drain kvm3
> then
  drain: kvm3 is being drained
  drained: kvm3 is drained: 0 VMs left it
  task 1 (drain kvm3) done
> create web1 256 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> create web2 256 kvm3
> drain kvm1
> then
  drain: kvm1 is being drained
  task 4 (create web2) failed none of 1 hosts can take web2
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 5 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 3 (drain kvm1) done
> all is mended
