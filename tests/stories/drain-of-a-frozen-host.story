# The libvirtd of a host that is drained stands still: its VM stays, and leaves with a drain after the thaw.
create web1 1024 kvm1
then
freeze kvm1
wait 60
drain kvm1
then
thaw kvm1
wait 30
drain kvm1
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> freeze kvm1
> wait 60
  host lost: kvm1 does not answer: kvm1: the connection to libvirt was lost; what ran there may go on: web1
> drain kvm1
> then
  drain: kvm1 is being drained
  drain: no VM could leave kvm1, 1 stay
  task 2 (drain kvm1) failed no VM could leave kvm1, 1 stay
> thaw kvm1
> wait 30
  host back: kvm1 answers again, after 
> drain kvm1
> then
  drain: kvm1 is being drained
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 4 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 3 (drain kvm1) done
> all is mended
