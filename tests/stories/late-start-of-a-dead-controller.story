# A start comes to libvirtd long after its controller died, and the next one has started and moved the VM: the lock refuses it.
create web1
then
stop web1
then
fate kvm1 create late
start web1 kvm1
wait 1
kill
wait 1
controller
then
migrate web1 kvm2
then
wait 100
== told
> create web1
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
> fate kvm1 create late
> start web1 kvm1
> wait 1
> kill
> wait 1
> controller
> then
  started: web1 runs on kvm1: started after the controller's restart
  task 3 (start web1) done
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 4 (migrate web1) done
> wait 100
> all is mended
