"""A `python` for the stages of tests, which starts at once.

Nine tenths of a stage's time on a small dataset is the import of torch and the like. A server
imports them once; for each `python -m MODULE` it forks a process, which runs the module of the
caller's folder with the caller's arguments, environment and channels. It has imported nothing of
this repository. Whoever kills stages needs the real one.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

LIBRARIES = (
    *("jinja2", "open_clip", "pandas", "pyarrow.parquet", "pydantic", "safetensors.torch"),
    *("scipy.stats", "sklearn.linear_model", "sklearn.metrics", "timm.data", "torch"),
)
PATIENCE = 5  # seconds until the server looks whether it is still wanted
CLIENT = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1:2] != ["-m"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    request = {{"run": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}}
    server.sendall(json.dumps(request).encode() + b"\\n")
    sys.exit(int(server.makefile().readline()))
"""


@functools.cache
def folder() -> Path:
    """A folder for PATH, with a `python` whose server runs as long as this process."""
    where = Path(tempfile.mkdtemp(prefix="python-"))
    address = where / "socket"
    client = where / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    command = [sys.executable, __file__, str(address)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    atexit.register(shutil.rmtree, where, ignore_errors=True)
    atexit.register(server.kill)
    assert server.stdout and server.stdout.readline(), "the server of tests/warm_python.py died"
    return where


def serve(address: str) -> socket.socket:
    """Answer as long as the parent lives; a forked process returns its caller."""
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        listening.settimeout(PATIENCE)
        print("listening", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
        while True:
            try:
                caller, _ = listening.accept()
            except TimeoutError:
                if os.getppid() != parent:
                    sys.exit()
                continue
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return caller
            caller.close()


def answer(caller: socket.socket) -> None:
    """Become `python -m MODULE ARGUMENTS` in the caller's folder."""
    for target, channel in enumerate(socket.recv_fds(caller, 1, 3)[1]):
        os.dup2(channel, target)
        os.close(channel)
    request = json.loads(caller.makefile().readline())
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    module, *sys.argv[1:] = request["run"]
    sys.path[0] = request["folder"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    caller.sendall(f"{code}\n".encode())
    os._exit(0)  # to take all modules apart would take longer than most stages


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # what nobody writes to is never copied
    answer(serve(sys.argv[1]))
