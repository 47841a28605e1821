# The target loses its mount while the guest shuts down: the VM is started again where it was.
create web1 1024 kvm1
then
migrate web1 cold
wait 0.5
unmount kvm2
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 cold
> wait 0.5
> unmount kvm2
> then
  migration failed: web1 could not be started on kvm2: storage shared is not mounted on kvm2: /shared/lockspace is not there; it was started again on kvm1
  task 2 (migrate web1) failed web1 could not be started on kvm2: storage shared is not mounted on kvm2: /shared/lockspace is not there; it was started again on kvm1
> all is mended
