# A third controller takes over what the second one had taken over.
lawless
create web1
then
migrate web1 cold
wait 0.5
deposed at 2
wait 0.2
deposed at 9
wait 5
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
> migrate web1 cold
> wait 0.5
> deposed at 2
> wait 0.2
another controller takes over
> deposed at 9
> wait 5
another controller takes over
  migrated: web1 moved kvm1 -> kvm2 cold; its guest took  to stop
  task 2 (migrate web1) done
> then
> all is mended
