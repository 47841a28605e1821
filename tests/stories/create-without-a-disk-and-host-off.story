# A controller dies in a create before there is a disk, and the host with it: nothing is left of it.
create web1 1024 kvm1
wait 1.05
off kvm1
kill
wait 5
controller
wait 40
on kvm1
wait 40
start web1
then
== told
> create web1 1024 kvm1
> wait 1.05
> off kvm1
> kill
> wait 5
> controller
> wait 40
  host lost: kvm1 does not answer: kvm1: no route to host; what ran there may go on: web1
  task 1 (create web1) failed web1 was not created: the controller ended first
> on kvm1
> wait 40
  host back: kvm1 answers again, after 
  host rebooted: kvm1 was rebooted: what ran there has ended
> start web1
> then
  task 2 (start web1) failed web1 was not started: it is half made, and more may come: web1 was not created: the controller ended first
> all is mended
