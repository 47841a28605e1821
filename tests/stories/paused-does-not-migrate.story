# A paused VM does not migrate: nothing of it would be seen to run, here or there.
create web1
then
pause web1
then
migrate web1 kvm2
then
resume web1
then
migrate web1 kvm2
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
> migrate web1 kvm2
> then
  task 3 (migrate web1) failed web1 is paused (by request): only a running VM migrates
> resume web1
> then
  resume: web1 on kvm1: resume
  task 4 (resume web1) done
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 5 (migrate web1) done
> all is mended
