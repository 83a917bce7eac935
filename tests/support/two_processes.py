"""Run a script as ``torchrun`` would, on this machine."""

import os
import socket
import subprocess
import sys


def run_processes(script, *words, size=2, timeout=240, cwd=None):
    """Start ``size`` processes of a script; what each returned and wrote, once all have ended."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": str(size),
        "OMP_NUM_THREADS": "1",
    }
    running = [
        subprocess.Popen(
            [sys.executable, str(script), *map(str, words)],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )
        for rank in range(size)
    ]
    outputs = [process.communicate(timeout=timeout) for process in running]
    return [(process.returncode, *output) for process, output in zip(running, outputs, strict=True)]
