# The registry keeps a claim and loses the answer: nothing holds the VM for good.
create web1
then
fate registry claim unanswered
stop web1
then
start web1
then
stop web1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> fate registry claim unanswered
> stop web1
> then
  task 2 (stop web1) failed the controller's registry took nothing
> start web1
> then
  task 3 (start web1) failed web1 already runs on kvm1 (running)
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 4 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 5 (start web1) done
