# A VM does not migrate to where it is.
create web1
then
migrate web1 kvm1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm1
> then
  task 2 (migrate web1) failed web1 already runs on kvm1
> all is mended
