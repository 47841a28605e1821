# A VM's whole life, with nothing in the way.
create web1
then
pause web1
then
resume web1
then
reboot web1
then
migrate web1
then
stop web1
then
start web1
then
stop web1 force
then
delete web1
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
> resume web1
> then
  resume: web1 on kvm1: resume
  task 3 (resume web1) done
> reboot web1
> then
  reboot: web1 was restarted on kvm1
  task 4 (reboot web1) done
> migrate web1
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 5 (migrate web1) done
> stop web1
> then
  stopped: web1 was stopped on kvm2
  task 6 (stop web1) done
> start web1
> then
  started: web1 runs on kvm1
  task 7 (start web1) done
> stop web1 force
> then
  stopped: web1 was stopped on kvm1
  task 8 (stop web1) done
> delete web1
> then
kvm1: deleted /shared/vm-web1-UUID/disk.qcow2
kvm1: deleted /shared/vm-web1-UUID/disk.json
kvm1: deleted /shared/lockspace/UUID
  deleted: web1 and its disks were deleted
  task 9 (delete web1) done
> all is mended
