"""The series that are looked up when Prometheus asks: name, meaning, labels. docs/observe.md is held to them by a test.

A label is a name that an admin gave, or a word of ours: never what a guest or a client says.
"""

from __future__ import annotations

from typing import NamedTuple


class Series(NamedTuple):
    """One name, whose samples differ in these labels."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


BUILD = Series("vmctl_build_info", "Which vmctl answers; always 1.", ("version", "python"))

HOSTS = Series("vmctl_hosts", "Registered hosts, by whether they answer.", ("state",))
HOST_ONLINE = Series("vmctl_host_online", "1 where a host answers, else 0.", ("host",))
HOST_SAMPLE_AGE = Series("vmctl_host_sample_age_seconds", "How long ago a host's newest load sample came.", ("host",))
HOST_DOMAINS_AGE = Series("vmctl_host_domains_age_seconds", "How long ago a host's libvirt listed its VMs.", ("host",))
HOST_CPUS = Series("vmctl_host_cpus", "CPUs of a host.", ("host",))
HOST_CPU_BUSY = Series("vmctl_host_cpu_busy_cores", "CPUs busy, mean of the last minute.", ("host",))
HOST_STEAL = Series("vmctl_host_cpu_steal_ratio", "Share of CPU time that a hypervisor below took.", ("host",))
HOST_MEMORY = Series("vmctl_host_memory_bytes", "Memory of a host.", ("host",))
HOST_MEMORY_USED = Series("vmctl_host_memory_used_bytes", "Memory that its kernel does not call available.", ("host",))
HOST_MEMORY_LIMIT = Series("vmctl_host_memory_limit_bytes", "Memory that may be promised to VMs, by policy.", ("host",))
HOST_MEMORY_PROMISED = Series(
    "vmctl_host_memory_promised_bytes", "Memory promised to VMs, with QEMU's own, and to runs of jobs.", ("host",)
)
HOST_PRESSURE = Series(
    "vmctl_host_pressure_ratio", "Share of the last minute in which some task waited.", ("host", "resource")
)
HOST_DISK = Series("vmctl_host_disk_busy_ratio", "Share of time in which a host's busiest disk was busy.", ("host",))
HOST_NETWORK = Series("vmctl_host_network_used_ratio", "Share of a host's busiest link in use.", ("host",))
HOST_VMS = Series("vmctl_host_vms", "VMs that are on a host, or may run there.", ("host",))
HOST_RUNS = Series("vmctl_host_job_runs", "Runs of jobs that have a place on a host.", ("host",))
HOST_STORAGES_LOST = Series("vmctl_host_storages_lost", "Storages last seen not to be mounted there.", ("host",))
HOST_LOCKS_LOST = Series(
    "vmctl_host_lock_manager_lost", "1 where the lock manager was last seen to give no leases.", ("host",)
)

VMS = Series("vmctl_vms", "VMs, by power state.", ("power",))
VMS_AGE = Series("vmctl_vms_age_seconds", "How long ago the VMs were read from the registry.")
VMS_WITHOUT_SERIES = Series("vmctl_vms_without_series", "VMs that have no series of their own, as there are too many.")
GUESTS = Series("vmctl_guests", "Guests that are followed, by health.", ("status",))
VM_INFO = Series("vmctl_vm_info", "A VM's names and where it is; always 1.", ("vm", "uuid", "host", "project"))
VM_RUNNING = Series("vmctl_vm_running", "1 where a VM runs, 0 where it does not; none where unknown.", ("uuid",))
VM_CPU = Series("vmctl_vm_cpu_busy_cores", "CPUs that a VM's QEMU keeps busy, mean of the last minute.", ("uuid",))
VM_MEMORY = Series("vmctl_vm_memory_resident_bytes", "Memory that a VM's QEMU has.", ("uuid",))
VM_SICK = Series("vmctl_vm_sick_seconds", "For how long a guest has not been well.", ("uuid", "status"))

TASKS_OPEN = Series("vmctl_tasks_open", "Tasks that have not ended, by kind.", ("kind",))
TASKS_OLDEST = Series("vmctl_tasks_oldest_open_seconds", "How long ago the oldest open task was accepted.")
REGISTRY_TROUBLE = Series("vmctl_registry_trouble", "1 where the registry takes nothing just now, else 0.")

EVERY: tuple[Series, ...] = tuple(found for found in list(globals().values()) if isinstance(found, Series))
