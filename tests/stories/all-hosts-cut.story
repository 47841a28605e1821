# The controller itself is cut off from every host: it starts, stops, deletes and makes nothing, and says why.
lawless
create web1 1024 kvm1
then
cut kvm1
cut kvm2
cut kvm3
wait 60
start web1
then
delete web1
then
migrate web1
then
create web2
then
heal kvm1
heal kvm2
heal kvm3
wait 30
== told
> lawless
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> cut kvm1
> cut kvm2
> cut kvm3
> wait 60
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
  host lost: kvm3 does not answer: kvm3: the SSH connection was lost: no answer since 
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
> start web1
> then
  task 2 (start web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
> delete web1
> then
  task 3 (delete web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
> migrate web1
> then
  task 4 (migrate web1) failed kvm1 does not answer: kvm1: no route to host
> create web2
> then
  task 5 (create web2) failed none of 3 hosts can take web2
> heal kvm1
> heal kvm2
> heal kvm3
> wait 30
  host back: kvm1 answers again, after 
  host back: kvm3 answers again, after 
  host back: kvm2 answers again, after 
> all is mended
