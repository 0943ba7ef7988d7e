"""Systems that these tests do not run on: what can be known of them anyway.

Every module is imported as on Windows and macOS: first as it is, so that the libraries are there,
then anew without what Python lacks on that system. `make check` has mypy look for the same.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
POSIX = """
    fork forkpty register_at_fork killpg getpgid getpgrp setpgid setsid getsid geteuid getuid getgid
    getegid getgroups setuid setgid chown lchown fchown fchmod chroot mkfifo mknod nice wait wait3
    wait4 WNOHANG WIFEXITED WEXITSTATUS pread pwrite preadv pwritev readv writev sendfile lockf
    fdatasync sync statvfs fstatvfs pathconf sysconf getloadavg openpty ttyname tcgetpgrp uname
    ctermid getpriority setpriority O_NOFOLLOW O_DIRECTORY O_CLOEXEC O_NONBLOCK O_SYNC EX_OK
"""
LINUX = """
    sched_getaffinity sched_setaffinity sched_getscheduler posix_fadvise posix_fallocate
    memfd_create pidfd_open copy_file_range splice eventfd getrandom getxattr setxattr listxattr
    O_DIRECT O_TMPFILE O_PATH pipe2 fdatasync
"""
SIGNALS = """
    SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGALRM SIGCHLD SIGCONT SIGSTOP SIGPIPE SIGQUIT alarm setitimer
    pause pthread_kill pthread_sigmask sigwait siginterrupt
"""
MODULES = "fcntl grp pwd resource termios tty pty syslog posix readline"
GONE = {"win32": (POSIX + LINUX, SIGNALS, MODULES), "darwin": (LINUX, "", "")}
IMPORTED_ANEW = """
import os, pkgutil, signal, sys
from importlib import import_module

platform, of_os, of_signal, modules = sys.argv[1:]

def every():
    for package in ("pipeline", "audits"):
        yield package
        for module in pkgutil.walk_packages([package], f"{package}."):
            yield module.name

names = list(every())
for name in names:
    import_module(name)
for name in [name for name in sys.modules if name.split(".")[0] in ("pipeline", "audits")]:
    del sys.modules[name]
sys.platform = platform
for module, gone in ((os, of_os), (signal, of_signal)):
    for attribute in gone.split():
        vars(module).pop(attribute, None)
sys.modules.update(dict.fromkeys(modules.split()))
for name in names:
    import_module(name)
print(len(names))
"""


@pytest.mark.slow
@pytest.mark.parametrize("platform", GONE)
def test_every_module_can_be_imported(platform):
    command = [sys.executable, "-W", "ignore", "-c", IMPORTED_ANEW, platform, *GONE[platform]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200, "the packages are walked"
