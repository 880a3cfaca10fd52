"""`penstock doctor`: what keeps a machine from serving well, each with its remedy. Reads and asks; changes nothing.

command    the command, and how findings are told
findings   what a check found
machine    open files, state directory, ports, the interpreter
providers  whether each provider answers, takes our key, and keeps the same time
stores     PostgreSQL and Redis
prices     what has no price, and how old the newest list of prices is
"""
