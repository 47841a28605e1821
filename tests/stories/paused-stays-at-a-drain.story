# A paused VM stays at a drain, and that is said before anything moves.
create web1
then
pause web1
then
drain kvm1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> pause web1
> then
  pause: web1 on kvm1: pause
  task 2 (pause web1) done
> drain kvm1
> then
  drain: kvm1 is being drained
  drain: no VM could leave kvm1, 1 stay
  task 3 (drain kvm1) failed no VM could leave kvm1, 1 stay
> all is mended
