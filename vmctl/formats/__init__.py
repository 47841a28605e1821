"""Values as text and files, and back: JSON, dumps of a cluster, Ganeti's format, sizes, specifications, disk images."""
