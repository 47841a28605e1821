# A controller dies after the start and before it wrote so: the next one finds the VM running, and starts no second one.
lawless
create web1
then
stop web1
then
killed at 46
start web1 kvm1
wait 5
controller
then
start web1 kvm2
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
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> killed at 46
> start web1 kvm1
> wait 5
> controller
> then
  started: web1 runs on kvm1: found running after the controller's restart
  task 3 (start web1) done
> start web1 kvm2
> then
  task 4 (start web1) failed web1 already runs on kvm1 (running)
> all is mended
