# Somebody moves it while a reboot waits for its guest: it is not started a second time.
lawless
create web1
then
guest web1 deaf
reboot web1
wait 20
move web1 kvm2
wait 10
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
> guest web1 deaf
> reboot web1
> wait 20
> move web1 kvm2
> wait 10
  task 2 (reboot web1) failed web1 is not on kvm1 any more: somebody moved it to kvm2
> then
> all is mended
  found: web1 runs on kvm2, not on kvm1
