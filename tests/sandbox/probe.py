"""Tries every way out of a sandbox that somebody thought of; prints as JSON what it reaches, None where nothing."""

import ctypes
import json
import os
import socket
from pathlib import Path


def way(*, reading=False):
    def add(function):
        WAYS[function.__name__] = function
        if reading:
            READING.append(function.__name__)
        return function

    return add


WAYS, READING = {}, []


def status_of_this_process():
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@way(reading=True)
def the_secret(secret, port, abstract, pid):
    return open(secret).read()


@way(reading=True)
def folder_of_the_secret(secret, port, abstract, pid):
    return os.listdir(os.path.dirname(secret)) or None


@way(reading=True)
def users(secret, port, abstract, pid):
    return open("/etc/passwd").read()


@way(reading=True)
def settings_of_the_system(secret, port, abstract, pid):
    return (os.listdir("/etc/ssl") and os.listdir("/var/log")) or True


@way(reading=True)
def system_files(secret, port, abstract, pid):
    return os.listdir("/sys") or None


@way(reading=True)
def a_port(secret, port, abstract, pid):
    with socket.create_connection(("127.0.0.1", port), 2):
        return True


@way(reading=True)
def an_abstract_socket(secret, port, abstract, pid):
    with socket.socket(socket.AF_UNIX) as own:
        own.connect("\0" + abstract)
        return True


@way(reading=True)
def another_process(secret, port, abstract, pid):
    return b"sleep" in open(f"/proc/{pid}/cmdline", "rb").read() or None


@way(reading=True)
def a_signal_to_another_process(secret, port, abstract, pid):
    os.kill(pid, 0)
    return "sleep" in open(f"/proc/{pid}/comm").read() or None


@way(reading=True)
def root_of_another_process(secret, port, abstract, pid):
    return os.listdir(f"/proc/{pid}/root") or None


@way(reading=True)
def labels_in_packages(secret, port, abstract, pid):
    from sklearn.datasets import load_digits

    return len(load_digits().target)


@way(reading=True)
def networks_of_the_measures(secret, port, abstract, pid):
    import lebench.data

    return os.path.getsize(os.path.join(os.path.dirname(lebench.data.__file__), "measure_grid.npz")) or None


@way()
def a_signal_to_everybody(secret, port, abstract, pid):
    os.kill(pid, 9)
    return


@way()
def the_network(secret, port, abstract, pid):
    return [name for _, name in socket.if_nameindex() if name != "lo"] or None


@way()
def the_host_name(secret, port, abstract, pid):
    return None if socket.gethostname() == "sandbox" else socket.gethostname()


@way()
def another_host_name(secret, port, abstract, pid):
    socket.sethostname("mine")
    return True


@way()
def the_environment(secret, port, abstract, pid):
    return os.environ.get("TOKEN")


@way()
def rights(secret, port, abstract, pid):
    status = status_of_this_process()
    return [name for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd") if int(status[name], 16)] or None


@way()
def new_rights(secret, port, abstract, pid):
    status = status_of_this_process()
    return None if int(status["NoNewPrivs"]) else True


@way()
def to_be_root(secret, port, abstract, pid):
    if os.getuid() == 0 or os.geteuid() == 0 or 0 in os.getgroups():
        return True
    os.setuid(0)
    return True


@way()
def other_processes(secret, port, abstract, pid):
    return [name for name in os.listdir("/proc") if name.isdecimal() and int(name) > 20] or None


@way()
def core_pattern(secret, port, abstract, pid):
    Path("/proc/sys/kernel/core_pattern").write_text("|/bin/sh")
    return True


@way()
def uevent_helper(secret, port, abstract, pid):
    Path("/sys/kernel/uevent_helper").write_text("/bin/sh")
    return True


@way()
def sysrq(secret, port, abstract, pid):
    Path("/proc/sysrq-trigger").write_text("h")
    return True


@way()
def control_groups(secret, port, abstract, pid):
    return os.listdir("/sys/fs/cgroup") or True


@way()
def disks(secret, port, abstract, pid):
    return [name for name in os.listdir("/dev") if name.startswith(("sd", "vd", "nvme", "loop", "mem", "kmsg"))] or None


@way()
def a_new_device(secret, port, abstract, pid):
    os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(8, 0))
    return True


@way()
def shared_memory_of_others(secret, port, abstract, pid):
    return os.listdir("/dev/shm") or None


@way()
def sockets_of_services(secret, port, abstract, pid):
    return os.listdir("/run") or None


@way()
def files_of_others(secret, port, abstract, pid):
    found = [os.path.join("/tmp", name) for name in os.listdir("/tmp")]
    return [name for name in found if os.path.isfile(name)] or None


@way()
def the_interpreter(secret, port, abstract, pid):
    Path(os.path.join(os.path.dirname(json.__file__), "own.py")).write_text("")
    return True


@way()
def the_code_that_asks(secret, port, abstract, pid):
    import lebench

    Path(os.path.join(os.path.dirname(lebench.__file__), "own.py")).write_text("")
    return True


@way()
def more_name_spaces(secret, port, abstract, pid):
    new_user, new_mount = 0x10000000, 0x00020000
    if ctypes.CDLL(None, use_errno=True).unshare(new_user | new_mount) == 0:
        return True
    return None


@way()
def mounting(secret, port, abstract, pid):
    return True if ctypes.CDLL(None).mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0 else None


@way()
def a_new_root(secret, port, abstract, pid):
    os.chroot("/tmp")
    return True


@way()
def tracing(secret, port, abstract, pid):
    attach = 16
    return True if ctypes.CDLL(None).ptrace(attach, pid, 0, 0) == 0 else None


@way()
def what_is_typed(secret, port, abstract, pid):
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSTI, b"x")
    return True


@way()
def a_handle(secret, port, abstract, pid):
    return [fd for fd in os.listdir("/proc/self/fd") if int(fd) > 3] or None


@way()
def keys_of_the_kernel(secret, port, abstract, pid):
    return open("/proc/keys").read() if os.path.exists("/proc/keys") and open("/proc/keys").read().strip() else None


def tried(names, *about):
    found = {}
    for name in names:
        try:
            found[name] = WAYS[name](*about)
        except Exception:
            found[name] = None
    return found


def main(*about):
    print(json.dumps(tried(WAYS, *about), default=str))
