# A migration is cancelled: it stays where it was.
create web1
then
migrate web1 kvm2
wait 1
cancel
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> wait 1
> cancel
> then
  migration cancelled: web1 stays on kvm1: the migration was cancelled, as asked
  task 2 (migrate web1) cancelled the migration was cancelled, as asked; web1 runs on kvm1
> all is mended
