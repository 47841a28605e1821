# A controller comes up while a host is cut off for some seconds: it waits for it before it says that nobody knows.
create web1
then
stop web1
then
fate kvm1 create unanswered
start web1 kvm1
wait 1
kill
cut kvm1
controller
wait 10
heal kvm1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> fate kvm1 create unanswered
> start web1 kvm1
> wait 1
> kill
> cut kvm1
> controller
> wait 10
  host lost: kvm1 does not answer: kvm1: no route to host; what ran there may go on: web1
> heal kvm1
> then
  host back: kvm1 answers again, after 
  started: web1 runs on kvm1: found running after the controller's restart
  task 3 (start web1) done
> all is mended
