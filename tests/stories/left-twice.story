# Two let one host go at once: one of them did, and the other hears that it is gone.
leave kvm3 force
leave kvm3 force
then
== told
> leave kvm3 force
> leave kvm3 force
> then
  host: kvm3 left the pool
  task 2 (host remove kvm3) failed there is no host 'kvm3'
  task 1 (host remove kvm3) done
> all is mended
