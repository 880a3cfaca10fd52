"""The only place that calls the constructors of the process, and the only one that knows the real clock and chance.

house      the whole proxy, in reading order
carrying   what carries requests, anew for each configuration
reloading  one configuration in the place of another
admin      the admin port: its door, its routes, the audit log
console    the console, with everything it asks of the process
deciding   what decides, and what has been learned
providers  who is asked, and at what price
machine    what one process bears
observing  traces, and lines of the log for requests
prompts    what keeps prompts of teams that opt in
stores     where books, counters and answers are kept
sandbox    the simulated OpenRouter
clock      the real clock, and names by chance
"""
