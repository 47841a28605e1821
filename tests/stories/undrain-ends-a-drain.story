# An undrain ends the drain that is at it.
create web1 1024 kvm1
create web2 1024 kvm1
then
drain kvm1
wait 1
undrain kvm1
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
> drain kvm1
> wait 1
  drain: kvm1 is being drained
> undrain kvm1
> then
  host: kvm1 takes VMs again
  migration cancelled: web1 stays on kvm1: the migration was cancelled, as asked
  task 4 (migrate web1) cancelled the migration was cancelled, as asked; web1 runs on kvm1
  migration cancelled: web2 stays on kvm1: the migration was cancelled, as asked
  task 5 (migrate web2) cancelled the migration was cancelled, as asked; web2 runs on kvm1
  task 3 (drain kvm1) cancelled task 3 was cancelled: 0 of 2 moves done
> all is mended
