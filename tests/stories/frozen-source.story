# libvirtd of the source stands still in a migration, and goes on later.
create web1
then
migrate web1 kvm2
wait 1
freeze kvm1
wait 20
thaw kvm1
wait 30
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> wait 1
> freeze kvm1
> wait 20
> thaw kvm1
> wait 30
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: the connection to libvirt on kvm1 was lost
  task 2 (migrate web1) failed web1 was not migrated and runs on kvm1: the connection to libvirt on kvm1 was lost
> then
> all is mended
