"""One Apache Kafka node, broker and controller in one process, on free loopback ports."""

import base64
import os
import socket

from . import build
from .process import Process, run

LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d{HH:mm:ss.SSS} %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""

# A single node needs most of these. Retention is off because the events bear the times of years ago; groups start at once. The rest
# is as Kafka comes: what is measured should not rest on a tuned broker.
SETTINGS = """\
process.roles=broker,controller
node.id=1
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Node:
    """Running from its construction on; `servers` answers a little later."""

    def __init__(self, folder):
        folder.mkdir()
        broker, controller = free_ports(2)
        self.servers = f"127.0.0.1:{broker}"
        (folder / "log4j2.xml").write_text(LOG4J)
        properties = folder / "server.properties"
        properties.write_text(
            SETTINGS
            + f"controller.quorum.voters=1@127.0.0.1:{controller}\n"
            + f"listeners=BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n"
            + f"advertised.listeners=BROKER://127.0.0.1:{broker}\n"
            + f"log.dirs={folder / 'data'}\n"
        )
        # 16 bytes in URL-safe Base64; the first is 0, since an id that began with a dash would be taken for an option.
        cluster = base64.urlsafe_b64encode(b"\0" + os.urandom(15)).decode().rstrip("=")
        classes = ["-cp", build.kafka(), f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}"]
        storage = [build.java(), "-Xmx128m", *classes, "kafka.tools.StorageTool", "format"]
        run("format", [*storage, "-t", cluster, "-c", properties], cwd=folder)
        heap = ["-Xms1g", "-Xmx1g", "-XX:+ExitOnOutOfMemoryError"]
        self.process = Process("kafka", [build.java(), *heap, *classes, "kafka.Kafka", properties], folder)
