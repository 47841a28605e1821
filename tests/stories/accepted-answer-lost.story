# The registry keeps a task's row and loses the answer: the command is carried out once.
create web1
then
fate registry accept unanswered
stop web1
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
> fate registry accept unanswered
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> wait 30
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
