# A host loses its power while a cold move waits for a deaf guest: it is started once, on the target.
lawless
create web1
then
guest web1 deaf
migrate web1 cold
wait 2
off kvm1
wait 5
on kvm1
wait 60
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
> migrate web1 cold
> wait 2
> off kvm1
> wait 5
> on kvm1
> wait 60
  host rebooted: kvm1 was rebooted: what ran there has ended
  migrated: web1 moved kvm1 -> kvm2 cold; its guest took  to stop
  task 2 (migrate web1) done
> then
> all is mended
