# A host loses its storage while a VM runs there: its QEMU may hold the disk still, so nothing is started elsewhere.
lawless
create web1
then
unmount kvm1
wait 120
start web1 kvm2
then
mount kvm1
wait 30
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
> unmount kvm1
> wait 120
  storage: storage shared is not mounted on kvm1: /shared/lockspace is not there; on kvm1: mount /shared; then vmctl storage check shared
> start web1 kvm2
> then
  task 2 (start web1) failed web1 already runs on kvm1 (running)
> mount kvm1
> wait 30
  storage: kvm1 has storage shared again
> then
> all is mended
