"""`python -m zhurnal.worker`: one run, in a process that a queue started; see `zhurnal.jobs.worker` for the other side.

Exit status: 0 finished; 2 something to mend; 130 stopped; 1 a bug, whose traceback is printed.
"""

import os
import signal
import sys
import threading
import time
from typing import Any

from .api import Lab
from .core.errors import Interrupted, ZhurnalError
from .core.stop import Stop
from .jobs.lines import Lines

PATIENCE = 600  # seconds that a step may take before a run without a queue is ended


def main() -> int:
    """Run the experiment and seed that the arguments name; return the exit status."""
    folder, name, seed, num_threads, download, report, alive = sys.argv[1:]
    watcher, stop = Lines(int(report)), Stop()
    for number in (signal.SIGINT, signal.SIGTERM):  # until training begins; then `stop` takes them
        signal.signal(number, _interrupt)
    threading.Thread(target=_outlive_nobody, args=(int(alive), watcher, stop), daemon=True).start()
    try:
        watcher.tell("here")
        Lab(folder).run(name, int(seed), watcher=watcher, download=download == "download", stop=stop, num_threads=int(num_threads))
    except Interrupted as error:
        watcher.tell("stopped", text=str(error))
        return 130
    except KeyboardInterrupt:
        watcher.tell("stopped", text=f"{name} stopped before a step that could be saved")
        return 130
    except (ZhurnalError, OSError) as error:
        watcher.tell("failed", text=str(error))
        return 2
    watcher.tell("finished")
    return 0


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _outlive_nobody(alive: int, watcher: Lines, stop: Stop) -> None:
    """Wait until the queue's end of a pipe is gone, which it is when the queue is; then stop the run, and end what does not stop."""
    while os.read(alive, 1):
        pass
    stop("its queue is gone")
    if not watcher.training:  # nobody asks `stop` before training begins
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    time.sleep(PATIENCE)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
