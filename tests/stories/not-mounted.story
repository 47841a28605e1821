# A host without its mount: the VM starts elsewhere, and nothing is made on the host's own disk.
unmount kvm1
create web1
then
mount kvm1
== told
> unmount kvm1
> create web1
> then
  storage: storage shared is not mounted on kvm1: /shared/lockspace is not there; on kvm1: mount /shared; then vmctl storage check shared
kvm2: made /shared/vm-web1-UUID/disk.qcow2
kvm2: made /shared/vm-web1-UUID/disk.json
kvm2: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm2
  task 1 (create web1) done
> mount kvm1
> all is mended
  storage: kvm1 has storage shared again
