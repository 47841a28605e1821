# A start is on its way to a host when the leader freezes; another one leads, starts the VM, and it moves on to another
# host before the call would arrive. The log-in that it comes through was ended first. Without locks, two would write.
controllers 2
lawless
create web1
then
stop web1 force
then
fate * create late
start web1
wait 0.1
freezes leader
wait 12
stop web1 force
wait 3
start web1 kvm2
wait 40
thaws
then
== told
  controller: controller a leads
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> stop web1 force
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> fate * create late
> start web1
> wait 0.1
> freezes leader
> wait 12
  controller: controller a was not heard for : dead, frozen or cut off; b has ended its life
  controller: controller b leads
  started: web1 runs on kvm1: started after the controller's restart
  task 3 (start web1) done
> stop web1 force
> wait 3
  stopped: web1 was stopped on kvm1
  task 4 (stop web1) done
> start web1 kvm2
> wait 40
  started: web1 runs on kvm2
  task 5 (start web1) done
> thaws
> then
> all is mended
a ends: its life was ended
