# Three large VMs and three hosts: a fourth place is promised to nobody.
create web1 2000
create web2 2000
create web3 2000
then
migrate web1
then
drain kvm1
then
== told
> create web1 2000
> create web2 2000
> create web3 2000
> then
kvm3: made /shared/vm-web3-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm2: made /shared/vm-web2-UUID/disk.qcow2
kvm3: made /shared/vm-web3-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm2: made /shared/vm-web2-UUID/disk.json
kvm3: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
kvm2: made /shared/lockspace/UUID
  created: web3 was created; runs on kvm3
  task 3 (create web3) done
  created: web1 was created; runs on kvm1
  created: web2 was created; runs on kvm2
  task 1 (create web1) done
  task 2 (create web2) done
> migrate web1
> then
  task 4 (migrate web1) failed none of 2 hosts can take web1
> drain kvm1
> then
  drain: kvm1 is being drained
  drain: no VM could leave kvm1, 1 stay
  task 5 (drain kvm1) failed no VM could leave kvm1, 1 stay
> all is mended
