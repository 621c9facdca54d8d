"""One QEMU process: its console, its monitor, and what it tells of its output lines."""

from __future__ import annotations

import json
import queue
import re
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from . import Problem
from .packages import Board

BOOT = "quiet loglevel=1 panic=-1"


@dataclass(frozen=True)
class Kind:
    """A machine that QEMU knows."""

    name: str
    options: tuple[str, ...]
    console: str
    modules: tuple[str, ...] = ()
    """Loaded at boot."""
    device_tree: str | None = None
    shares: bool = False
    """Whether a folder of the host is seen in the guest."""
    traced: str | None = None
    """The trace event of the lines that are watched from outside."""


VIRT = Kind(
    name="virt",
    options=("-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "2G", "-nic", "none",
             "-device", "virtio-gpu-pci"),
    console="ttyAMA0",
    modules=("virtio_pci", "9pnet_virtio", "9p"),
    shares=True,
    traced="pl061_set_output",
)
# Four cores of a Cortex-A53 and 1 GB, as the board has; its kernel finds everything in the device
# tree, which gives the first serial port to Bluetooth. There is no bus to share a folder over.
RASPI3B = Kind(
    name="raspi3b",
    options=("-M", "raspi3b", "-serial", "null"),
    console="ttyS1",
    modules=("bcm2835_thermal",),
    device_tree="broadcom/bcm2837-rpi-3-b.dtb",
)
KINDS = {kind.name: kind for kind in (VIRT, RASPI3B)}

EDGE = re.compile(r"setting output (\d+) to ([01])")


@dataclass(frozen=True)
class Edge:
    """A change of an output line, as the machine around the kernel saw it."""

    time: float
    """Seconds on the host's monotonic clock; some milliseconds late at most."""
    line: int
    level: int


class Machine:
    """A running machine. Close it."""

    def __init__(self, kind: Kind, board: Board, initramfs: Path, work: Path, append: str = ""):
        program = shutil.which("qemu-system-aarch64")
        if program is None:
            raise Problem("no qemu-system-aarch64; Debian has it in qemu-system-arm")
        self.kind, self.work = kind, work
        self.edges: list[Edge] = []
        self.lines: queue.Queue[str | None] = queue.Queue()
        serial, monitor, trace = work / "console.sock", work / "monitor.sock", work / "trace.log"
        trace.touch()
        command = [
            program, *kind.options, "-display", "none", "-no-reboot",
            "-kernel", str(board.kernel), "-initrd", str(initramfs),
            "-append", f"console=tty0 console={kind.console} {BOOT} {append}",
            "-chardev", f"socket,id=console,path={serial},server=on,wait=off",
            "-serial", "chardev:console",
            "-qmp", f"unix:{monitor},server=on,wait=off",
        ]
        if kind.device_tree:
            command += ["-dtb", str(board.device_tree(kind.device_tree))]
        if kind.shares:
            share = work / "share"
            share.mkdir(exist_ok=True)
            command += ["-fsdev", f"local,id=share,path={share},security_model=none",
                        "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
        if kind.traced:
            command += ["-trace", kind.traced, "-D", str(trace)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.console = self._connect(serial)
        self.monitor = self._connect(monitor).makefile("rw")
        json.loads(self.monitor.readline())
        self.command("qmp_capabilities")
        threading.Thread(target=self._read_console, daemon=True).start()
        threading.Thread(target=self._read_trace, args=(trace,), daemon=True).start()

    def _connect(self, path: Path) -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        for _ in range(200):
            try:
                end.connect(str(path))
                return end
            except OSError:
                if self.process.poll() is not None:
                    raise Problem(f"QEMU ended: {self.process.stderr.read().strip()}") from None
                time.sleep(0.05)
        raise Problem("QEMU opens no console")

    def _read_console(self) -> None:
        for line in self.console.makefile("r", errors="replace", newline="\n"):
            self.lines.put(line.rstrip("\r\n"))
        self.lines.put(None)

    def _read_trace(self, path: Path) -> None:
        with path.open() as trace:
            rest = ""
            while self.process.poll() is None:
                rest += trace.read()
                *whole, rest = rest.split("\n")
                now = time.monotonic()
                for line in whole:
                    if found := EDGE.search(line):
                        self.edges.append(Edge(now, int(found[1]), int(found[2])))
                time.sleep(0.005)

    def command(self, name: str, **arguments) -> object:
        """A command to QEMU's monitor and its answer."""
        self.monitor.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.monitor.flush()
        while True:
            answer = json.loads(self.monitor.readline())
            if "error" in answer:
                raise Problem(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def send(self, line: str) -> None:
        """A line to the console's input."""
        self.console.sendall(line.encode() + b"\n")

    def read(self, seconds: float) -> str | None:
        """The next line of the console; None at the machine's end.

        Raises TimeoutError when none comes.
        """
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
