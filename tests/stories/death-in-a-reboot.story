# A controller dies between the two halves of a reboot: the VM is started once.
lawless
create web1
then
reboot web1
wait 1.3
kill
wait 3
controller
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
> reboot web1
> wait 1.3
  reboot: web1 was restarted on kvm1
  task 2 (reboot web1) done
> kill
> wait 3
> controller
> then
> all is mended
