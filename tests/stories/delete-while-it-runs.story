# A delete of a VM that runs is refused, also where nobody looked before.
lawless
create web1
then
delete web1
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
> delete web1
> then
  task 2 (delete web1) failed web1 already runs on kvm1 (running)
> all is mended
