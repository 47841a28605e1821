# Somebody takes the key of a VM that runs: the missing lease is told, and taken again under a new key. It moves after that.
create web1 1024 kvm1
then
lose key web1
wait 60
migrate web1 kvm2
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> lose key web1
> wait 60
  alarm: web1 runs without its lease on kvm1
kvm1: made /shared/lockspace/vmctl-probe-1800000012-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000012-UUID
kvm1: made /shared/lockspace/UUID
  lease: web1 on kvm1: its lease was taken again
  task 2 (renew lease web1) done
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 3 (migrate web1) done
> all is mended
