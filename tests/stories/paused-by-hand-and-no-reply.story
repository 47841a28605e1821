# A VM that somebody pauses while it migrates is paused on its target, too: its copy has not run, and may be put out.
seed 20004543
create web1
then
fate kvm1 finish refused
migrate web1
wait 0.054
wait 0.031
virsh kvm1 suspend web1
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> fate kvm1 finish refused
> migrate web1
> wait 0.054
> wait 0.031
> virsh kvm1 suspend web1
> all is mended
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: libvirt on kvm1: operation failed: no reply from the target
  task 2 (migrate web1) failed web1 was not migrated and runs on kvm1: libvirt on kvm1: operation failed: no reply from the target
