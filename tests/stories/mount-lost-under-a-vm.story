# A host loses its mount: that is what is told, and not that the lock manager is at fault.
create web1
then
unmount kvm1
wait 60
mount kvm1
wait 60
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> unmount kvm1
> wait 60
  storage: storage shared is not mounted on kvm1: /shared/lockspace is not there; on kvm1: mount /shared; then vmctl storage check shared
> mount kvm1
> wait 60
  storage: kvm1 has storage shared again
> all is mended
