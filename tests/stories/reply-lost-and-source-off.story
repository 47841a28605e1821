# The last reply of a migration is lost, and then the source loses its power: the VM is found on the target.
lawless
create web1
then
fate kvm1 finish unanswered
migrate web1 kvm2
wait 4
off kvm1
wait 60
start web1 kvm3
wait 5
on kvm1
wait 60
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
> off kvm1
> wait 60
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
  migrated: web1 moved kvm1 -> kvm2, its pause was not measured
  task 2 (migrate web1) done
> start web1 kvm3
> wait 5
  task 3 (start web1) failed web1 already runs on kvm2 (running)
> on kvm1
> wait 60
  host back: kvm1 answers again, after 
  host rebooted: kvm1 was rebooted: what ran there has ended
> then
> all is mended
