# The registry keeps a lease and loses the answer: it is known as one's own, and the new VM keeps its disk.
lawless
fate registry _lease unanswered
create web1
then
fate registry _lease unanswered
stop web1
then
== told
> lawless
> fate registry _lease unanswered
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> fate registry _lease unanswered
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
