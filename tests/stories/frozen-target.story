# libvirtd of the target stands still in a migration: the VM goes on where it was, and the half copy goes with the thaw.
create web1 1024 kvm1
then
migrate web1 kvm2
wait 1
freeze kvm2
wait 60
thaw kvm2
wait 30
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> wait 1
> freeze kvm2
> wait 60
  host lost: kvm2 does not answer: kvm2: the connection to libvirt was lost
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: libvirt on kvm1: operation failed: the connection to the target was lost
  task 2 (migrate web1) failed web1 was not migrated and runs on kvm1: libvirt on kvm1: operation failed: the connection to the target was lost
> thaw kvm2
> wait 30
  host back: kvm2 answers again, after 
> then
> all is mended
