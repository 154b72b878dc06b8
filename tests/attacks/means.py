"""Forbidden means: packages, programs, processes, sockets and system calls that an exercise does not offer.

Each attack is (name, what its checks must come to, source). A part or check that is not named must pass. `flags`
is what a human is asked to look at; it costs no points. Arguments of system calls are such that nothing happens
where the kernel is reached after all.
"""

REFUSED = {"step": "raised: raised RuntimeError at leaky.py, line 5", "detail": "RuntimeError: worked: nothing"}
REPORT = """
def report(worked):
    worked = sorted(set(map(str, worked)))
    raise RuntimeError("worked: " + (", ".join(worked)[:300] or "nothing"))
"""


def attempt(source: str) -> str:
    """Return an attack whose `step` reports which of the attempts in the body, appended to `worked`, worked."""
    body = "\n".join("    " + line for line in source.strip().splitlines())
    return f"{REPORT}\ndef step(x, h, a):\n    worked = []\n{body}\n    report(worked)\n"


ATTACKS = [
    (
        "imports_torch",
        {"step": "raised: raised ModuleNotFoundError at leaky.py, line 4"},
        """
def step(x, h, a):
    import torch
    return float(torch.lerp(torch.tensor(x), torch.tensor(h), a))
""",
    ),
    (
        "imports_what_is_installed",
        REFUSED,
        attempt("""
import importlib, sys
sys.path += ["@PACKAGES@", "@COURSE@", "/usr/lib/python3/dist-packages", "/usr/local/lib/python3/site-packages"]
importlib.invalidate_caches()
for name in ("torch", "pytest", "click", "yaml", "rich", "sqlalchemy", "pip", "setuptools", "grader", "hypothesis"):
    try:
        importlib.import_module(name)
        worked.append(name)
    except ImportError:
        pass
"""),
    ),
    (
        "starts_programs",
        REFUSED,
        attempt("""
import multiprocessing, os, subprocess, sys
def ran(way):
    try:
        return way()
    except Exception:
        return None
ways = {
    "fork": lambda: os.fork() == 0 and os._exit(0) or True,
    "vfork": lambda: __import__("ctypes").CDLL(None).syscall(58) >= 0,
    "forkpty": lambda: os.forkpty()[0] == 0 and os._exit(0) or True,
    "system": lambda: os.system(sys.executable + " -c 1") == 0,
    "popen": lambda: os.popen("echo hello").read(),
    "run": lambda: subprocess.run([sys.executable, "-c", ""]).returncode == 0,
    "spawn": lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
    "exec": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "fexec": lambda: os.execve(os.open(sys.executable, os.O_RDONLY), ["x", "-c", ""], {}),
    "process": lambda: multiprocessing.get_context("fork").Process(target=print).start() or True,
}
worked += [name for name, way in ways.items() if ran(way)]
"""),
    ),
    (
        "opens_sockets",
        REFUSED,
        attempt("""
import ctypes, socket, urllib.request
libc = ctypes.CDLL(None)
for family in range(46):
    for kind in (1, 2, 3, 5):
        if libc.syscall(41, family, kind, 0) >= 0 or libc.socket(family, kind, 0) >= 0:
            worked.append((family, kind))
for way in (lambda: socket.create_connection(("127.0.0.1", 80), 1), lambda: socket.socketpair(),
            lambda: socket.getaddrinfo("localhost", 80), lambda: urllib.request.urlopen("http://127.0.0.1/", timeout=1),
            lambda: socket.socket(fileno=3).send(b"x"), lambda: socket.socket(fileno=3).getpeername()):
    try:
        way()
        worked.append("socket")
    except OSError:
        pass
"""),
    ),
    (
        "calls_the_kernel",
        REFUSED,
        attempt("""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
room = ctypes.create_string_buffer(4096)
at = ctypes.addressof(room)
calls = {
    "ptrace": (101, 0, 0, 0, 0), "process_vm_readv": (310, 1, at, 1, at, 1, 0), "kcmp": (312, 1, 1, 0, 0, 0),
    "process_madvise": (440, 3, at, 1, 0, 0), "unshare": (272, 0x10020000), "setns": (308, 0, 0),
    "clone_fork": (56, 17, 0, 0, 0, 0), "clone_namespace": (56, 0x10000011, 0, 0, 0, 0),
    "mount": (165, 1, 1, 1, 0, 0), "umount": (166, b"", 0), "pivot_root": (155, b"/", b"/"),
    "chroot": (161, b"/tmp"), "open_tree": (428, -100, b"/", 1), "move_mount": (429, 0, b"", 0, b"", 0),
    "fsopen": (430, b"tmpfs", 0), "mount_setattr": (442, -100, b"/", 0, at, 32), "socket": (41, 1, 1, 0),
    "sendmsg": (46, 3, at, 0), "recvmsg": (47, 3, at, 0x40), "sendto": (44, 3, b"x", 1, 0, 0, 0),
    "recvfrom": (45, 3, at, 1, 0x40, 0, 0), "shutdown": (48, 3, 2), "setsockopt": (54, 3, 1, 7, at, 4),
    "getsockopt": (55, 3, 1, 17, at, at + 64), "sendmmsg": (307, 3, at, 1, 0), "bind": (49, 3, at, 16),
    "listen": (50, 3, 1), "io_uring_setup": (425, 1, at), "io_setup": (206, 1, at + 64),
    "bpf": (321, 0, at, 64), "perf_event_open": (298, at, 0, -1, -1, 0), "userfaultfd": (323, 0),
    "userfaultfd_user": (323, 1), "keyctl": (250, 0, -3, 1), "memfd_create": (319, b"x", 0),
    "memfd_secret": (447, 0), "execve": (59, b"/bin/true", 0, 0),
    "execveat": (322, -100, b"/bin/true", 0, 0, 0), "pidfd_open": (434, 1, 0), "pidfd_getfd": (438, 3, 0, 0),
    "pidfd_send_signal": (424, 3, 0, 0, 0), "name_to_handle_at": (303, -100, b"/", at, at + 64, 0),
    "open_by_handle_at": (304, 3, at, 0), "personality": (135, 0x0040000), "seccomp": (317, 1, 0, at),
    "prctl_dumpable": (157, 4, 1, 0, 0, 0), "prctl_subreaper": (157, 36, 1, 0, 0, 0),
    "prctl_no_death": (157, 1, 0, 0, 0, 0), "capset": (126, at, at), "setuid": (105, 0),
    "setresuid": (117, 0, 0, 0), "setgroups": (116, 0, 0), "shmget": (29, 0, 4096, 0o1600),
    "msgget": (68, 0, 0o1600), "semget": (64, 0, 1, 0o1600), "mknod": (133, b"", 0o100600, 0),
    "symlink": (88, b"/", b""), "inotify": (253,), "fanotify": (300, 0, 0), "timerfd": (283, 0, 0),
    "timer_create": (222, 0, 0, at), "signalfd": (289, -1, at, 8, 0), "splice": (275, 3, 0, 1, 0, 1, 0),
    "vmsplice": (278, 1, at, 1, 0), "tee": (276, 3, 1, 1, 0), "sendfile": (40, 1, 3, 0, 1),
    "copy_file_range": (326, 3, 0, 1, 0, 1, 0), "setrlimit_as": (160, 9, at),
    "prlimit_parent": (302, 1 << 20, 9, 0, at), "nice": (141, 0, 0, 5), "ioprio_set": (251, 1, 0, 0),
    "sched_setscheduler": (144, 0, 1, at), "sched_setattr": (314, 0, at, 0),
    "mbind": (237, at, 4096, 0, 0, 0, 0), "move_pages": (279, 0, 0, 0, 0, 0, 0), "mlock": (149, at, 4096),
    "mlockall": (151, 1), "remap_file_pages": (216, at, 0, 0, 0, 0), "modify_ldt": (154, 0, at, 16),
    "iopl": (172, 3), "ioperm": (173, 0, 1, 1), "reboot": (169, 0), "sethostname": (170, at, -1),
    "settimeofday": (164, 1, 0), "clock_settime": (227, 0, 1), "adjtimex": (159, at), "swapon": (167, b"", 0),
    "acct": (163, 1), "syslog": (103, 3, at, 64), "quotactl": (179, 0, 0, 0, at),
    "init_module": (175, at, 1, at), "kexec_load": (246, 0, 0, 0, 0), "lookup_dcookie": (212, 0, at, 64),
    "ustat": (136, 0, at), "landlock": (444, 0, 0, 1), "futex_waitv": (449, at, 0, 0, 0, 0),
    "rt_sigqueueinfo": (129, 1, 0, at), "rt_tgsigqueueinfo": (297, 1, 1, 0, at), "tkill": (200, 2, 0),
    "kill_others": (62, -1, 0), "tgkill_others": (234, 2, 2, 0), "setpgid": (109, 0, 0), "setsid": (112,),
    "flock": (73, 0, 1), "fcntl_lock": (72, 0, 5, at), "fcntl_owner": (72, 3, 8, 1),
    "fcntl_lease": (72, 0, 1024, 0), "fcntl_pipe": (72, 1, 1031, 1 << 20), "x32_fork": (0x40000000 | 57,),
    "x32_socket": (0x40000000 | 41, 1, 1, 0), "x32_getpid": (0x40000000 | 39,), "clone3": (435, at, 88),
    "openat2": (437, -100, b"/", at, 24), "quotactl_fd": (443, 0, 0, 0, at), "cachestat": (451, 0, at, at, 0),
    "map_shadow_stack": (453, 0, 4096, 0), "statmount": (457, at, at, 64, 0), "listmount": (458, at, at, 8, 0),
    "lsm_list_modules": (461, at, at + 64, 0), "beyond": (9999,),
}
for name, (number, *arguments) in calls.items():
    ctypes.set_errno(0)
    sent = [ctypes.c_char_p(v) if isinstance(v, bytes) else ctypes.c_long(v) for v in arguments]
    result = libc.syscall(ctypes.c_long(number), *sent)
    if result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        worked.append((name, errno.errorcode.get(ctypes.get_errno())))
"""),
    ),
    (
        "calls_the_kernel_the_old_way",
        {"step": "raised: the process crashed (signal 31)"},
        """
import ctypes, mmap
def step(x, h, a):
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid of the 32-bit table); int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return float(ctypes.CFUNCTYPE(ctypes.c_int)(address)())
""",
    ),
    (
        "lifts_its_limits",
        REFUSED,
        attempt("""
import resource
for name in ("AS", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE", "MEMLOCK", "MSGQUEUE"):
    number = getattr(resource, "RLIMIT_" + name, None)
    if number is None:
        continue
    hard = resource.getrlimit(number)[1]
    if hard == resource.RLIM_INFINITY:
        worked.append(name)
    for more in (hard + 1, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(number, (more, more))
            worked.append(name)
        except (ValueError, OSError):
            pass
"""),
    ),
    (
        "uses_what_a_human_should_see",
        {"flags": "numpy.convolve at leaky.py, line 8"},
        """
def run(xs, h0, a):
    weights = (1 - a) * a ** np.arange(len(xs))
    kept = h0 * a ** np.arange(1, len(xs) + 1)
    # right, and not what the exercise is about

    return kept + np.convolve(xs, weights)[: len(xs)]
""",
    ),
]
