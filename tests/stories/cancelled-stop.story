# A stop is cancelled after the power button: its guest obeys all the same, and it is wanted as before.
create web1
then
stop web1
wait 0.5
cancel
then
wait 60
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> stop web1
> wait 0.5
> cancel
> then
  task 2 (stop web1) cancelled task 2 was cancelled; the power button of web1 was pressed, so it may still shut down
> wait 60
  ended: web1 is no longer on kvm1: stopped; asked to shut down by a stop that was cancelled by local user
  autostart: web1 should run: it is started again
  started: web1 runs on kvm1
  task 3 (start web1) done
> all is mended
