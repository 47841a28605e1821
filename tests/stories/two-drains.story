# Two hosts are drained at once: what leaves one does not go to the other.
create web1 1024 kvm1
create web2 1024 kvm2
then
drain kvm1
drain kvm2
then
undrain kvm1
undrain kvm2
== told
> create web1 1024 kvm1
> create web2 1024 kvm2
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
> drain kvm1
> drain kvm2
> then
  drain: kvm1 is being drained
  drain: kvm2 is being drained
  migrated: web1 moved kvm1 -> kvm3, paused 40 ms
  task 5 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 3 (drain kvm1) done
  migrated: web2 moved kvm2 -> kvm3, paused 40 ms
  task 6 (migrate web2) done
  drained: kvm2 is drained: 1 VMs left it
  task 4 (drain kvm2) done
> undrain kvm1
> undrain kvm2
> all is mended
  host: kvm1 takes VMs again
  host: kvm2 takes VMs again
