"""Print the files of the standard library that the agent needs, itself not among them: it is loaded, and looked at.

python3 -I -S python-parts.py TREE
"""

# ruff: noqa: PTH118, PTH120, PTH208
import importlib
import os
import sys

tree = sys.argv[1]
sys.path.insert(0, tree)
own = [name[:-3] for name in os.listdir(os.path.join(tree, "guest_agent")) if name.endswith(".py")]
for module in own:
    if module not in ("__main__", "windows"):
        importlib.import_module("guest_agent." + module)
for module in ("runpy", "serial", "socket", "resource", "encodings.ascii", "encodings.latin_1", "encodings.idna"):
    importlib.import_module(module)  # loaded when they are needed

# what is frozen into the interpreter has no file, but `os` must lie there: it is how Python finds its library
library = os.path.dirname(importlib.import_module("json").__path__[0])
found = {os.path.join(library, "os.py")}
for module in list(sys.modules.values()):
    origin = getattr(module, "__file__", None) or ""
    if origin.startswith(library):
        found.add(origin)
print("\n".join(sorted(found)))
