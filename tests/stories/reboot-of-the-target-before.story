# A target that was rebooted a moment ago takes a VM.
create web1
then
off kvm2
wait 5
on kvm2
wait 30
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
> off kvm2
> wait 5
> on kvm2
> wait 30
  host rebooted: kvm2 was rebooted: what ran there has ended
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> all is mended
