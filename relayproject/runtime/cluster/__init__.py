"""A whole relay platform on one machine, for exercises, tests and failure drills: `manage.py cluster`.

options    what a cluster is made of, and its ports
part       one process to run: its command, environment and log
detached   processes that outlive the command, known by pid and start time
state      the state file and the lock of the folder
program    one program of an engine, run to its end for a bounded time
etcd, patroni, postgres, valkey, instances, front    the parts of each engine: configuration, order of start, promotion
probes     role, state and lag of each part
cluster    up, down, kill, pause, resume, promote
table      what `status` prints
command    the command line
"""
