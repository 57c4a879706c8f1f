"""Everything that has to be there before anything can be measured: the service, the peers, the node's jars."""

import hashlib
import os
import shutil
from pathlib import Path

from .process import run

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS = ROOT / "target" / "peers"


def java():
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else "java"


def service(given, is_measured):
    """The program to run: the one given, or this tree's, built for production if it is measured in earnest."""
    if given:
        if not (Path(given).is_file() and os.access(given, os.X_OK)):
            raise SystemExit(f"{given} is no program: build it, or leave out --binary or --against")
        return Path(given).resolve()
    if is_measured:
        run("deploy/build", [ROOT / "deploy" / "build"], cwd=ROOT)
        return ROOT / "target" / "optimized" / "retention-signals"
    run("cargo", ["cargo", "build", "--release", "--locked", "--bin", "retention-signals"], cwd=ROOT)
    return TARGET / "release" / "retention-signals"


def peers():
    """Builds the Java side, once for each state of its sources."""
    sources = sorted(path for path in (ROOT / "benches" / "peers").rglob("*") if path.suffix in (".java", ".xml"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = PEERS / "stamp"
    if not (stamp.exists() and stamp.read_text() == digest):
        shutil.rmtree(PEERS, ignore_errors=True)
        run("mvn", ["mvn", "-q", "-B", "-f", ROOT / "benches" / "peers" / "pom.xml", "package"])
        stamp.write_text(digest)


def kafka():
    """The jars of a node, fetched once for each state of the pom that the tests use too."""
    pom = ROOT / "tests" / "kafka" / "pom.xml"
    libs = ROOT / "target" / "peers-kafka"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()
    stamp = libs / "stamp"
    if not (stamp.exists() and stamp.read_text() == digest):
        shutil.rmtree(libs, ignore_errors=True)
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"]
        run("mvn", ["mvn", "-q", "-B", "-f", pom, *goal])
        stamp.write_text(digest)
    return f"{libs}/*"


def class_path(module):
    """What `java -cp` takes for a module of the peers."""
    return f"{PEERS / module / f'{module}-1.jar'}:{PEERS / module / 'libs'}/*"
