"""What can be asked of a controller, as plain values: a class of arguments per command and per query, and their tables.

Light and pure, so that every side may use it: the API makes its routes from the tables, the command line its requests
and its help, the tasks read their arguments and journals as these classes, and `door/` says who answers.
"""
