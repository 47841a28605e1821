# A controller dies before it wrote down an undrain: nobody was told yes, and the host still takes no VMs.
create web1
then
drain kvm1
then
killed at 6
undrain kvm1
wait 5
controller
create web2 1024 kvm1
then
undrain kvm1
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> drain kvm1
> then
  drain: kvm1 is being drained
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 3 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 2 (drain kvm1) done
> killed at 6
> undrain kvm1
> wait 5
  the controller died before it said yes or no
> controller
> create web2 1024 kvm1
> then
  task 4 (create web2) failed none of 1 hosts can take web2
> undrain kvm1
> all is mended
  host: kvm1 takes VMs again
