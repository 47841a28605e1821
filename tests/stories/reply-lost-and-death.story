# The last reply of a migration is lost, and its controller dies: the next one finds the VM on the target, and only there.
lawless
create web1
then
fate kvm1 finish unanswered
migrate web1 kvm2
wait 4
kill
wait 10
controller
then
wait 60
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
> kill
> wait 10
> controller
> then
  migrated: web1 moved kvm1 -> kvm2, its pause was not measured
  task 2 (migrate web1) done
> wait 60
> all is mended
