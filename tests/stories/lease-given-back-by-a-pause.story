# A paused VM has no lease: it is not started elsewhere, even where no lock guards its disk.
lawless
create web1
then
pause web1
then
start web1 kvm2
then
resume web1
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
> pause web1
> then
  pause: web1 on kvm1: pause
  task 2 (pause web1) done
> start web1 kvm2
> then
  task 3 (start web1) failed web1 already runs on kvm1 (paused)
> resume web1
> then
  resume: web1 on kvm1: resume
  task 4 (resume web1) done
> all is mended
