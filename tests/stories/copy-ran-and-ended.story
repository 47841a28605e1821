# A migration's last reply is lost, its copy runs on the target, and the target is switched off:
# what was left paused has an older memory than the disk, and does not go on.
create web1
then
fate kvm1 finish unanswered
migrate web1 kvm2
wait 4
off kvm2
wait 90
on kvm2
wait 60
resume web1
then
stop web1 force
then
== told
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
> off kvm2
> wait 90
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
  alarm: where web1 runs is not certain; kvm1: paused (migrating); kvm2: does not answer (kvm2: no route to host)
  task 2 (migrate web1) failed where web1 runs is not certain
> on kvm2
> wait 60
  host back: kvm2 answers again, after 
  host rebooted: kvm2 was rebooted: what ran there has ended
  alarm: web1 stays paused on kvm1: its memory may be older than its disk, as it may have run on kvm2 since; vmctl stop --force web1, then vmctl start web1
> resume web1
> then
  task 3 (resume web1) failed web1 cannot resume: a migration left it paused on kvm1, and its memory may be older than its disk
> stop web1 force
> then
  stopped: web1 was stopped on kvm1
  task 4 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 5 (start web1) done
