# Another controller takes a migration over while memory goes over: the first one's copy ends by itself.
lawless
create web1
then
migrate web1 kvm2
wait 1
deposed at 3
wait 20
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
> migrate web1 kvm2
> wait 1
> deposed at 3
> wait 20
another controller takes over
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> then
> all is mended
