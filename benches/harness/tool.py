"""The Java process that speaks to Kafka for us (benches/peers/tool)."""

import json
import queue
import subprocess
import threading

from . import build
from .process import Process

ANSWER_PATIENCE = 1800


class ToolFailed(Exception):
    """A command could not be carried out."""


class Tool:
    def __init__(self, servers, folder):
        # A young generation that orders and answers fit into: collecting them took a sixth of a core from what is measured.
        command = [build.java(), "-Xms1g", "-Xmx1g", "-Xmn600m", "-XX:+UseSerialGC"]
        command += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
        command += ["-cp", build.class_path("tool"), "peers.tool.Tool", servers]
        self.process = Process(
            "tool", command, folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.child.stdout:
            self.lines.put(line.strip())
        self.lines.put("failed the tool has ended")

    def send(self, name, **options):
        """Starts a command; `next_line` brings its answers."""
        words = [name] + [f"{key}={value}" for key, value in options.items()]
        self.process.child.stdin.write(" ".join(words) + "\n")

    def next_line(self, patience):
        """The next line of an answer as its words, or none within `patience` seconds."""
        try:
            kind, _, rest = self.lines.get(timeout=patience).partition(" ")
        except queue.Empty:
            return None
        if kind == "failed":
            raise ToolFailed(f"{rest}\n{self.process.tail()}")
        return kind, rest

    def ask(self, name, **options):
        """Carries out a command and returns its answer."""
        self.send(name, **options)
        while True:
            line = self.next_line(ANSWER_PATIENCE)
            if line is None:
                raise ToolFailed(f"no answer to {name}")
            if line[0] == "ok":
                return json.loads(line[1])
