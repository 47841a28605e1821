"""The ROADEF/EURO challenge 2012, machine reassignment: the public record for this very problem."""
