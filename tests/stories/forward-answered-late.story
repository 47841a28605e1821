# The forward of a migration is not answered: its socket is taken away.
create web1
then
fate * offer unanswered
migrate web1 kvm3
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> fate * offer unanswered
> migrate web1 kvm3
> then
  migration failed: kvm1 -> kvm3: web1 was not migrated and runs on kvm1: kvm1: offer: no answer within 
  task 2 (migrate web1) failed web1 was not migrated and runs on kvm1: kvm1: offer: no answer within 
> all is mended
