# The target loses its power in a migration: the VM goes on where it was.
create web1
then
migrate web1 kvm2
wait 1
off kvm2
wait 60
on kvm2
wait 30
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
> off kvm2
> wait 60
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: libvirt on kvm1: the target's QEMU is gone
  task 2 (migrate web1) failed web1 was not migrated and runs on kvm1: libvirt on kvm1: the target's QEMU is gone
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
> on kvm2
> wait 30
  host back: kvm2 answers again, after 
  host rebooted: kvm2 was rebooted: what ran there has ended
> then
> all is mended
