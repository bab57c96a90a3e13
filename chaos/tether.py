"""Start a program that cannot outlive the runner, even one killed with -9. Linux; a script.

`python -I -S tether.py RUNNER_PID COMMAND…` asks the kernel to kill this process when its parent
dies (prctl(2), PR_SET_PDEATHSIG) and becomes COMMAND. The wish survives execve and the pid stays
the same. A launcher of its own rather than a `preexec_fn`, because code between fork and exec may
deadlock in a process that has threads. Workers that become nothing else call `die_with`.
"""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with(runner_pid: int) -> bool:
    """From now on this process ends when its parent, the runner, does; False if that has happened already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The runner may have died before the wish was made: then nobody would ever end this process.
    return os.getppid() == runner_pid


def main(arguments: list[str]) -> int:
    """Become the command; returns only when the runner is gone already."""
    runner_pid, command = int(arguments[1]), arguments[2:]
    if not die_with(runner_pid):
        return 1
    return os.execvp(command[0], command)  # noqa: S606 - the command of compose.yaml, no shell


if __name__ == "__main__":
    sys.exit(main(sys.argv))
