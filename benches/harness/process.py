"""Child processes that end with this one, and what the kernel says about them."""

import ctypes
import os
import signal
import subprocess
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
STOP_PATIENCE = 60


def _end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A child with its output in a file. It is killed when this process ends, whichever way."""

    def __init__(self, name, command, folder, **options):
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        with open(self.log, "ab") as log:
            options.setdefault("stdout", log)
            self.child = subprocess.Popen(
                [str(word) for word in command], cwd=folder, stderr=log, preexec_fn=_end_with_parent, **options
            )

    @property
    def pid(self):
        return self.child.pid

    def has_ended(self):
        return self.child.poll() is not None

    def kill(self):
        if not self.has_ended():
            self.child.kill()
        self.child.wait()

    def terminate(self):
        """Asks it to end, and insists after a while."""
        if not self.has_ended():
            self.child.terminate()
        try:
            self.child.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def cpu_seconds(self):
        """User and system time of all its threads, in clock ticks of usually 10 ms."""
        text = Path(f"/proc/{self.pid}/stat").read_text()
        fields = text[text.rindex(")") + 2 :].split()
        return sum(int(field) for field in fields[11:15]) / CLOCK_TICKS

    def memory_peak(self):
        """Bytes of resident memory at the highest."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.name} has no VmHWM")

    def tail(self, lines=40):
        """The last lines of its output, for a failure's message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def run(name, command, **options):
    """Runs a command to its end; its output is shown only if it fails."""
    result = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if result.returncode != 0:
        raise RuntimeError(f"{name} failed with {result.returncode}:\n{result.stdout[-4000:]}")
    return result.stdout
