# A cold move is cancelled while its guest shuts down, which nobody can take back: the VM is started again where it was.
create web1 1024 kvm1
then
migrate web1 cold
wait 0.5
cancel
then
wait 30
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 cold
> wait 0.5
> cancel
> then
  task 2 (migrate web1) cancelled task 2 was cancelled; the power button of web1 was pressed, so it may still shut down
> wait 30
  ended: web1 is no longer on kvm1: stopped; asked to shut down by a cold move that was cancelled by local user
  autostart: web1 should run: it is started again
  started: web1 runs on kvm1
  task 3 (start web1) done
> all is mended
