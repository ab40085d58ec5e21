"""When and where runs run: a queue on one machine, several at once, each in a process of its own.

plan.py     which runs, what each waits for, how many processor threads it gets
lines.py    what a run's process tells the queue: a JSON object on each line
worker.py   the queue's hold on one process: start it, hear it, stop it, tell how it ended
queue.py    the loop: so many at a time, the next one when one ends
"""
