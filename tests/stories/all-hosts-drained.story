# All hosts are drained at once: no VM has anywhere to go, and none moves in a circle.
create web1 1024 kvm1
create web2 1024 kvm2
create web3 1024 kvm3
then
drain kvm1
drain kvm2
drain kvm3
then
undrain kvm1
undrain kvm2
undrain kvm3
== told
> create web1 1024 kvm1
> create web2 1024 kvm2
> create web3 1024 kvm3
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
> drain kvm1
> drain kvm2
> drain kvm3
> then
  drain: kvm1 is being drained
  drain: kvm3 is being drained
  drain: kvm2 is being drained
  drain: no VM could leave kvm1, 1 stay
  drain: no VM could leave kvm3, 1 stay
  drain: no VM could leave kvm2, 1 stay
  task 4 (drain kvm1) failed no VM could leave kvm1, 1 stay
  task 6 (drain kvm3) failed no VM could leave kvm3, 1 stay
  task 5 (drain kvm2) failed no VM could leave kvm2, 1 stay
> undrain kvm1
> undrain kvm2
> undrain kvm3
> all is mended
  host: kvm1 takes VMs again
  host: kvm3 takes VMs again
  host: kvm2 takes VMs again
