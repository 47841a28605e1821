# The storage is nowhere: a create is refused with a reason for each host, leaves nothing, and no disk is made beside the mount.
unmount kvm1
unmount kvm2
unmount kvm3
create web1
then
delete web1
then
mount kvm1
mount kvm2
mount kvm3
wait 20
create web1
then
== told
> unmount kvm1
> unmount kvm2
> unmount kvm3
> create web1
> then
  storage: storage shared is not mounted on kvm3: /shared/lockspace is not there; on kvm3: mount /shared; then vmctl storage check shared
  storage: storage shared is not mounted on kvm1: /shared/lockspace is not there; on kvm1: mount /shared; then vmctl storage check shared
  storage: storage shared is not mounted on kvm2: /shared/lockspace is not there; on kvm2: mount /shared; then vmctl storage check shared
  task 1 (create web1) failed none of 3 hosts can take web1
> delete web1
> then
  not accepted: there is no VM 'web1'
> mount kvm1
> mount kvm2
> mount kvm3
> wait 20
  storage: kvm1 has storage shared again
  storage: kvm3 has storage shared again
  storage: kvm2 has storage shared again
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> all is mended
