# Two large VMs go to one host at once: its room is promised once, the other one stays.
create web1 1500 kvm1
create web2 1500 kvm2
then
migrate web1 kvm3
migrate web2 kvm3
then
== told
> create web1 1500 kvm1
> create web2 1500 kvm2
> then
kvm2: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm2: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm2: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm2
  task 1 (create web2) done
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> migrate web1 kvm3
> migrate web2 kvm3
> then
  task 4 (migrate web2) failed none of 1 hosts can take web2
  migrated: web1 moved kvm1 -> kvm3, paused 40 ms
  task 3 (migrate web1) done
> all is mended
