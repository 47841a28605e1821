# The target is cut off just after the guest went there: nothing starts elsewhere until it speaks.
lawless
create web1
then
fate kvm1 finish unanswered
migrate web1 kvm2
wait 2.72
cut kvm2
wait 60
start web1 kvm3
wait 5
heal kvm2
wait 30
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
> wait 2.72
> cut kvm2
> wait 60
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: libvirt on kvm1: operation failed: the connection to the target was lost
  task 2 (migrate web1) failed web1 was not migrated and runs on kvm1: libvirt on kvm1: operation failed: the connection to the target was lost
> start web1 kvm3
> wait 5
  task 3 (start web1) failed web1 already runs on kvm1 (running)
> heal kvm2
> wait 30
  host back: kvm2 answers again, after 
> then
> all is mended
