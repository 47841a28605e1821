# A paused VM hears no power button: its cold move says so.
create web1
then
pause web1
then
migrate web1 cold
wait 130
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
> migrate web1 cold
> wait 130
  task 3 (migrate web1) failed web1 is paused (by request): only a running VM migrates
> then
> all is mended
