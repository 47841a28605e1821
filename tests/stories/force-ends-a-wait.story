# Who pulls the plug does not wait for a stop that waits for a deaf guest.
create web1
then
guest web1 deaf
stop web1
wait 5
stop web1 force
wait 10
start web1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> guest web1 deaf
> stop web1
> wait 5
> stop web1 force
> wait 10
  task 2 (stop web1) cancelled task 2 was cancelled; the power button of web1 was pressed, so it may still shut down
  stopped: web1 was stopped on kvm1
  task 3 (stop web1) done
> start web1
> then
  started: web1 runs on kvm1
  task 4 (start web1) done
> all is mended
