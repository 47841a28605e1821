# A stop is cancelled before the power button is pressed: its guest was asked for nothing, and nothing else is said.
create web1
then
stop web1
wait 0.01
cancel
then
wait 30
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> stop web1
> wait 0.01
> cancel
> then
  task 2 (stop web1) cancelled task 2 was cancelled
> wait 30
> all is mended
