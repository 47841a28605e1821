# Two VMs leave one host: one after the other, as the policy says.
create web1 1024 kvm1
create web2 1024 kvm1
then
migrate web1
migrate web2
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
> migrate web1
> migrate web2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 3 (migrate web1) done
  migrated: web2 moved kvm1 -> kvm3, paused 40 ms
  task 4 (migrate web2) done
> all is mended
