# Three VMs go to one host: no more at once than the policy allows, and all arrive.
create web1 600 kvm1
create web2 600 kvm2
create web3 600 kvm2
then
migrate web1 kvm3
migrate web2 kvm3
migrate web3 kvm3
then
== told
> create web1 600 kvm1
> create web2 600 kvm2
> create web3 600 kvm2
> then
kvm2: made /shared/vm-web3-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm2: made /shared/vm-web2-UUID/disk.qcow2
kvm2: made /shared/vm-web3-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm2: made /shared/vm-web2-UUID/disk.json
kvm2: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
kvm2: made /shared/lockspace/UUID
  created: web3 was created; runs on kvm2
  task 3 (create web3) done
  created: web1 was created; runs on kvm1
  created: web2 was created; runs on kvm2
  task 1 (create web1) done
  task 2 (create web2) done
> migrate web1 kvm3
> migrate web2 kvm3
> migrate web3 kvm3
> then
  migrated: web2 moved kvm2 -> kvm3, paused 40 ms
  task 5 (migrate web2) done
  migrated: web1 moved kvm1 -> kvm3, paused 40 ms
  task 4 (migrate web1) done
  migrated: web3 moved kvm2 -> kvm3, paused 40 ms
  task 6 (migrate web3) done
> all is mended
