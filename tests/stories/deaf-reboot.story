# A guest that does not obey is not rebooted, and goes on.
create web1
then
guest web1 deaf
reboot web1
wait 130
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> guest web1 deaf
> reboot web1
> wait 130
  task 2 (reboot web1) failed web1 did not shut down within ; it still runs on kvm1
> then
> all is mended
