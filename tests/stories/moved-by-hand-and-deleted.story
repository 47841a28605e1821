# Somebody migrates a VM, and it is deleted before anybody saw where: every host is asked, and its disk stays.
lawless
create web1
then
move web1 kvm2
wait 3.1
delete web1
then
wait 20
== told
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> move web1 kvm2
> wait 3.1
> delete web1
> then
  task 2 (delete web1) failed web1 already runs on kvm2 (running)
> wait 20
  found: web1 runs on kvm2, not on kvm1
> all is mended
