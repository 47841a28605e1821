"""What the program talks about: hosts, VMs, the cluster at one moment, what is decided about it, what is remembered.

Pure: frozen values, no I/O, no clock. Memory is in MiB (`*_mib`), time in seconds (`*_s`), CPU in cores
(1.5 = one and a half cores busy), shares and pressure in fractions of one (0.18 = 18 %).
"""
