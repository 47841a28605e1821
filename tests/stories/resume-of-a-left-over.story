# A migration's answer was lost and its target is cut off: a resume by hand may not make a second copy.
lawless
create web1
then
fate kvm1 finish unanswered
migrate web1 kvm2
wait 4
cut kvm2
wait 60
resume web1
then
reset web1
then
heal kvm2
wait 30
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
> resume web1
> then
  task 3 (resume web1) failed web1 cannot resume: a migration left it paused on kvm1, and it may run elsewhere
> reset web1
> then
  task 4 (reset web1) failed web1 cannot reset: a migration left it paused on kvm1, and it may run elsewhere
> heal kvm2
> wait 30
  host back: kvm2 answers again, after 
  found: web1 runs on kvm2, not on kvm1
> all is mended
