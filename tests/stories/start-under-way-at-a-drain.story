# A start that chose its host before the drain's mark: the drain waits for it, and moves it away.
create web1 1024 kvm1
then
stop web1
then
start web1 kvm1
wait 0.012
drain kvm1
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> start web1 kvm1
> wait 0.012
> drain kvm1
> then
  drain: kvm1 is being drained
  started: web1 runs on kvm1
  task 3 (start web1) done
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 5 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 4 (drain kvm1) done
> all is mended
