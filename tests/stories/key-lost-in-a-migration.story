# Its key goes while it is moved: it goes on where it was, with a new key.
create web1
then
migrate web1 kvm2
wait 1
lose key web1
then
wait 30
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> wait 1
> lose key web1
> then
  alarm: where web1 runs is not certain; kvm1: paused (migrating); kvm2: not there
  task 2 (migrate web1) failed where web1 runs is not certain
> wait 30
kvm1: made /shared/lockspace/UUID
  resumed: web1 goes on on kvm1: a migration that broke had left it paused
> all is mended
