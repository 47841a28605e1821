# A cold move is to be cancelled, and its controller dies before it could: who takes over knows.
create web1
then
guest web1 deaf
migrate web1 cold
wait 5
cancel
wait 0.05
kill
wait 5
controller
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
> migrate web1 cold
> wait 5
> cancel
> wait 0.05
> kill
> wait 5
> controller
> then
  task 2 (migrate web1) cancelled task 2 was cancelled; the power button of web1 was pressed, so it may still shut down
> all is mended
