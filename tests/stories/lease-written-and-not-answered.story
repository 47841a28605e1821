# A lease is written, and its answer is lost: the start finds its own write again, and is not overtaken by itself.
create web1
then
stop web1
then
fate registry _lease unanswered
start web1
then
fate registry _lease unanswered
migrate web1 kvm2
then
fate registry _lease unanswered
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
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> fate registry _lease unanswered
> start web1
> then
  started: web1 runs on kvm1
  task 3 (start web1) done
> fate registry _lease unanswered
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 4 (migrate web1) done
> fate registry _lease unanswered
> stop web1
> then
  stopped: web1 was stopped on kvm2
  task 5 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 6 (start web1) done
