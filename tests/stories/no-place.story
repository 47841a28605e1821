# A VM that fits nowhere is refused with a reason for each host, and nothing is made.
create web1 4000
then
== told
> create web1 4000
> then
  task 1 (create web1) failed none of 3 hosts can take web1
> all is mended
