# The target of a cold move refuses to start the VM: it is started again where it was.
lawless
create web1
then
fate kvm2 create refused
migrate web1 cold
then
== told
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> fate kvm2 create refused
> migrate web1 cold
> then
  migration failed: web1 could not be started on kvm2: web1 was not started on kvm2: libvirt on kvm2: internal error: no, says the story; it was started again on kvm1
  task 2 (migrate web1) failed web1 could not be started on kvm2: web1 was not started on kvm2: libvirt on kvm2: internal error: no, says the story; it was started again on kvm1
> all is mended
