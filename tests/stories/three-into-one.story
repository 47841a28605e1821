# Three hosts send a VM each to a fourth, which takes no more than two at once.
machine kvm4
join kvm4
then
create web1 256 kvm1
create web2 256 kvm2
create web3 256 kvm3
then
migrate web1 kvm4
migrate web2 kvm4
migrate web3 kvm4
then
== told
> machine kvm4
> join kvm4
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: made /shared/.vmctl-probe-1800000000-42930b33/probe
kvm1: deleted /shared/.vmctl-probe-1800000000-42930b33/probe
  host: kvm4 joined the pool
  task 1 (host add kvm4) done
> create web1 256 kvm1
> create web2 256 kvm2
> create web3 256 kvm3
> then
kvm2: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm3: made /shared/vm-web3-UUID/disk.qcow2
kvm2: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm3: made /shared/vm-web3-UUID/disk.json
kvm2: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
kvm3: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm2
  task 2 (create web2) done
  created: web1 was created; runs on kvm1
  task 3 (create web1) done
  created: web3 was created; runs on kvm3
  task 4 (create web3) done
> migrate web1 kvm4
> migrate web2 kvm4
> migrate web3 kvm4
> then
  migrated: web3 moved kvm3 -> kvm4, paused 40 ms
  task 7 (migrate web3) done
  migrated: web2 moved kvm2 -> kvm4, paused 40 ms
  task 6 (migrate web2) done
  migrated: web1 moved kvm1 -> kvm4, paused 40 ms
  task 5 (migrate web1) done
> all is mended
