"""libvirt's XML: written, and read. Pure.

Built as a tree by the standard library, never by pasting strings: no value can break out of its place. A VM's whole
specification is kept in its domain's own metadata, so that a lost registry can be read back from the hosts.
"""

from vmctl.hosts.domainxml.build import AGENT_PORT as AGENT_PORT
from vmctl.hosts.domainxml.build import Site as Site
from vmctl.hosts.domainxml.build import Source as Source
from vmctl.hosts.domainxml.build import build as build
from vmctl.hosts.domainxml.build import in_file as in_file
from vmctl.hosts.domainxml.build import isa_socket as isa_socket
from vmctl.hosts.domainxml.cpus import Capabilities as Capabilities
from vmctl.hosts.domainxml.cpus import cpu_models as cpu_models
from vmctl.hosts.domainxml.cpus import cpu_name as cpu_name
from vmctl.hosts.domainxml.cpus import guest_cpu as guest_cpu
from vmctl.hosts.domainxml.cpus import host_model as host_model
from vmctl.hosts.domainxml.cpus import offered as offered
from vmctl.hosts.domainxml.cpus import read_capabilities as read_capabilities
from vmctl.hosts.domainxml.probe import probe as probe
from vmctl.hosts.domainxml.read import ParsedDomain as ParsedDomain
from vmctl.hosts.domainxml.read import read as read
from vmctl.hosts.domainxml.tree import NAMESPACE as NAMESPACE
from vmctl.hosts.domainxml.tree import QEMU as QEMU
from vmctl.hosts.domainxml.tree import parse as parse
from vmctl.hosts.domainxml.volumes import pool as pool
from vmctl.hosts.domainxml.volumes import renamed as renamed
from vmctl.hosts.domainxml.volumes import volume as volume
