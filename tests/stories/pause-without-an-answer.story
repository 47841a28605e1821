# A pause is not answered: it is seen to be done. A reset cannot be seen, and is told as not known.
create web1
then
fate kvm1 suspend unanswered
pause web1
then
fate kvm1 resume unanswered
resume web1
then
fate kvm1 reset unanswered
reset web1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> fate kvm1 suspend unanswered
> pause web1
> then
  pause: web1 on kvm1: pause
  task 2 (pause web1) done
> fate kvm1 resume unanswered
> resume web1
> then
  resume: web1 on kvm1: resume
  task 3 (resume web1) done
> fate kvm1 reset unanswered
> reset web1
> then
  task 4 (reset web1) failed whether web1 was reset on kvm1 is not known: libvirt on kvm1 did not answer within 
> all is mended
