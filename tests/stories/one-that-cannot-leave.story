# One VM that fits nowhere else does not keep the others from leaving.
create web1 300 kvm1
create web2 1700 kvm1
create web3 800 kvm2
then
create web4 800 kvm3
then
drain kvm1
then
== told
> create web1 300 kvm1
> create web2 1700 kvm1
> create web3 800 kvm2
> then
kvm2: made /shared/vm-web3-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web2-UUID/disk.qcow2
kvm2: made /shared/vm-web3-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/vm-web2-UUID/disk.json
kvm2: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
  created: web3 was created; runs on kvm2
  task 3 (create web3) done
  created: web1 was created; runs on kvm1
  created: web2 was created; runs on kvm1
  task 1 (create web1) done
  task 2 (create web2) done
> create web4 800 kvm3
> then
kvm3: made /shared/vm-web4-UUID/disk.qcow2
kvm3: made /shared/vm-web4-UUID/disk.json
kvm3: made /shared/lockspace/UUID
  created: web4 was created; runs on kvm3
  task 4 (create web4) done
> drain kvm1
> then
  drain: kvm1 is being drained
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 6 (migrate web1) done
  drain: 1 VMs left kvm1, 1 stay
  task 5 (drain kvm1) failed 1 VMs left kvm1, 1 stay
> all is mended
