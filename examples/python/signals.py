#!/usr/bin/env python3
"""Handles each signal of retention-signals once.

Three things make it so, and each consumer needs all of them:

- isolation.level=read_committed: records of aborted transactions stay in the topic, and the default of some clients shows them;
- the id of each signal is remembered where its effect is, here in one transaction of SQLite, so that a repetition has none;
- offsets are committed after that transaction: a crash in between repeats records, which is harmless, and loses none.

A signal of a rule about a guest has no customer_id.

    pip install -r requirements.txt
    ./signals.py --bootstrap-servers localhost:9092
"""

import argparse
import json
import sqlite3

from confluent_kafka import Consumer, KafkaError, KafkaException

SCHEMA = """CREATE TABLE IF NOT EXISTS signals (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, customer_id TEXT, occurred_at TEXT NOT NULL, data TEXT NOT NULL)"""
INSERT = "INSERT INTO signals VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"


def arguments():
    parser = argparse.ArgumentParser(description="Handles each signal once.")
    parser.add_argument("--bootstrap-servers", default="localhost:9092")
    parser.add_argument("--topic", default="retention.signals")
    parser.add_argument("--group", default="signals-python")
    parser.add_argument("--store", default="signals.sqlite", help="a file of SQLite (%(default)s)")
    parser.add_argument("--once", action="store_true", help="end when everything is read")
    return parser.parse_args()


def handle(store, signal):
    """The effect of a signal: a row, and a line the first time."""
    row = (signal["id"], signal["type"], signal["customer_id"], signal["occurred_at"], json.dumps(signal["data"]))
    if store.execute(INSERT, row).rowcount == 1:
        print(signal["id"], signal["type"], signal["customer_id"], flush=True)


def run(options):
    store = sqlite3.connect(options.store)
    store.execute(SCHEMA)
    consumer = Consumer({
        "bootstrap.servers": options.bootstrap_servers,
        "group.id": options.group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": options.once,
    })
    consumer.subscribe([options.topic])
    at_end = set()
    while not options.once or not at_end or at_end < {one.partition for one in consumer.assignment()}:
        offsets_moved = False
        with store:  # One transaction: committed at the end of the block, rolled back by an exception.
            for message in consumer.consume(500, timeout=1.0):
                if message.error() is None:
                    handle(store, json.loads(message.value()))
                    offsets_moved = True
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    at_end.add(message.partition())
                else:
                    raise KafkaException(message.error())
        if offsets_moved:
            consumer.commit(asynchronous=False)
    consumer.close()
    store.close()


if __name__ == "__main__":
    run(arguments())
