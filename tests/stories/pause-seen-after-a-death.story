# A controller dies in a pause: the successor sees that it is done.
create web1
then
killed at 24
pause web1
wait 3
controller
then
resume web1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> killed at 24
> pause web1
> wait 3
> controller
> then
  pause: web1 on kvm1: pause
  task 2 (pause web1) done
> resume web1
> then
  resume: web1 on kvm1: resume
  task 3 (resume web1) done
> all is mended
