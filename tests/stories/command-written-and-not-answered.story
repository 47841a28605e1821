# A command's row is written, and the answer is lost: it is accepted, and not begun later by surprise.
create web1
then
fate registry accept unanswered
migrate web1 kvm2
then
kill
controller
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
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> kill
> controller
> wait 30
> all is mended
