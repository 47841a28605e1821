# The last reply is lost and then the target: the paused source is not let go on, as the copy may run.
lawless
create web1
then
fate kvm1 finish unanswered
migrate web1 kvm2
wait 4
cut kvm2
wait 60
start web1 kvm3
wait 5
heal kvm2
wait 40
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
> fate kvm1 finish unanswered
> migrate web1 kvm2
> wait 4
> cut kvm2
> wait 60
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
  alarm: where web1 runs is not certain; kvm1: paused (migrating); kvm2: does not answer (kvm2: no route to host)
  task 2 (migrate web1) failed where web1 runs is not certain
> start web1 kvm3
> wait 5
  task 3 (start web1) failed web1 already runs on kvm1 (paused)
> heal kvm2
> wait 40
  host back: kvm2 answers again, after 
  found: web1 runs on kvm2, not on kvm1
> then
> all is mended
