# What a guest does not say while it is paused is no silence: its age counts from when it goes on, which may last.
create web1
then
agent web1 well
treat web1 reset
wait 20
pause web1
then
wait 600
agent web1 hung
resume web1
then
wait 100
agent web1 well
wait 60
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> agent web1 well
> treat web1 reset
> wait 20
  heal level: web1 may be treated: reset
> pause web1
> then
  pause: web1 on kvm1: pause
  task 2 (pause web1) done
> wait 600
> agent web1 hung
> resume web1
> then
  resume: web1 on kvm1: resume
  task 3 (resume web1) done
> wait 100
  health: web1 is silent: nothing heard for 
> agent web1 well
> wait 60
  health: web1 is well: web in order
> all is mended
