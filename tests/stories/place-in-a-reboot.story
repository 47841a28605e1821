# A VM that is rebooted, or paused, keeps its place.
create web1 2000 kvm1
then
guest web1 deaf
reboot web1
wait 1
create web2 2000 kvm1
wait 1
guest web1 obeys
then
pause web1
then
create web2 2000 kvm1
then
== told
> create web1 2000 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> guest web1 deaf
> reboot web1
> wait 1
> create web2 2000 kvm1
> wait 1
  task 3 (create web2) failed none of 1 hosts can take web2
> guest web1 obeys
> then
  reboot: web1 was restarted on kvm1
  task 2 (reboot web1) done
> pause web1
> then
  pause: web1 on kvm1: pause
  task 4 (pause web1) done
> create web2 2000 kvm1
> then
  task 5 (create web2) failed none of 1 hosts can take web2
> all is mended
