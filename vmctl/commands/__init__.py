"""What can be asked of a controller, as plain values: a class of arguments and a row per command and per query.

Light and pure, so that every side may use it: the API makes its routes from the rows, the command line its requests and
its help, stored tasks are read as these classes, and `door/` says who answers.
"""
