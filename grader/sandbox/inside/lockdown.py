"""Take rights away from the own process: namespaces, capabilities, Landlock, seccomp, rlimits (Linux only).

Everything goes through ctypes, because Python 3.11 has no unshare, mount or prctl. The seccomp filter of a worker
is an allow list: what is not named fails with EPERM. Numbers are those of x86-64 and of the generic table that
arm64 uses.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
MS_PRIVATE = 1 << 18

#: where a worker's writable folder goes when what it imports lies under /tmp, which a folder of its own would hide
SCRATCH = "/scratch"

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
SECCOMP_MODE_FILTER = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Move the process into new namespaces; raise OSError where the kernel refuses."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Call mount(2); raise OSError where the kernel refuses."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount {target}")


def prctl(option: int, *arguments: int) -> int:
    """Call prctl(2) and return its result, -1 included."""
    padded = [*arguments, 0, 0, 0, 0][:4]
    return int(_libc.prctl(option, *[ctypes.c_ulong(a) for a in padded]))


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent's thread ends."""
    prctl(PR_SET_PDEATHSIG, 9)


def no_new_privileges() -> None:
    """Make sure that no later exec can gain a right; seccomp and Landlock ask for it."""
    _check(prctl(PR_SET_NO_NEW_PRIVS, 1), "no_new_privs")


def drop_capabilities() -> None:
    """Empty every capability set, the bounding set included."""
    for capability in range(64):
        prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("<Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    data = struct.pack("<6I", 0, 0, 0, 0, 0, 0)
    _check(_libc.capset(header, data), "capset")


# --- seccomp -------------------------------------------------------------------------------------------------

_X86_64 = """
read 0 write 1 open 2 close 3 stat 4 fstat 5 lstat 6 poll 7 lseek 8 mmap 9 mprotect 10 munmap 11 brk 12
rt_sigaction 13 rt_sigprocmask 14 rt_sigreturn 15 ioctl 16 pread64 17 pwrite64 18 readv 19 writev 20 access 21
pipe 22 select 23 sched_yield 24 mremap 25 msync 26 mincore 27 madvise 28 dup 32 dup2 33 pause 34 nanosleep 35
getitimer 36 alarm 37 setitimer 38 getpid 39 socket 41 connect 42 sendto 44 socketpair 53 clone 56 fork 57
vfork 58 execve 59 exit 60 wait4 61 kill 62 uname 63 fcntl 72 fsync 74 fdatasync 75 truncate 76 ftruncate 77
getdents 78 getcwd 79 chdir 80 rename 82 mkdir 83 rmdir 84 creat 85 link 86 unlink 87 symlink 88 readlink 89
chmod 90 umask 95 gettimeofday 96 getrlimit 97 getrusage 98 sysinfo 99 times 100 ptrace 101 getuid 102
getgid 104 geteuid 107 getegid 108 getppid 110 getpgrp 111 setsid 112 getgroups 115 getresuid 118 getresgid 120
getpgid 121 getsid 124 sigaltstack 131 statfs 137 fstatfs 138 getpriority 140 prctl 157 arch_prctl 158
mount 165 umount2 166 gettid 186 tkill 200 time 201 futex 202 sched_setaffinity 203 sched_getaffinity 204
epoll_create 213 getdents64 217 set_tid_address 218 restart_syscall 219 fadvise64 221 clock_gettime 228
clock_getres 229 clock_nanosleep 230 exit_group 231 epoll_wait 232 epoll_ctl 233 tgkill 234 add_key 248
request_key 249 keyctl 250 openat 257 mkdirat 258 newfstatat 262 unlinkat 263 renameat 264 readlinkat 267
fchmodat 268 faccessat 269 pselect6 270 ppoll 271 unshare 272 set_robust_list 273 get_robust_list 274
utimensat 280 epoll_pwait 281 eventfd2 290 epoll_create1 291 dup3 292 pipe2 293 perf_event_open 298 prlimit64 302
setns 308 getcpu 309 process_vm_readv 310 process_vm_writev 311 kexec_load 246 init_module 175 finit_module 313
renameat2 316 seccomp 317 getrandom 318 memfd_create 319 bpf 321 execveat 322 userfaultfd 323 membarrier 324
statx 332 rseq 334 io_uring_setup 425 clone3 435 faccessat2 439 open_by_handle_at 304 pidfd_open 434
pidfd_getfd 438 move_mount 429 fsopen 430 open_tree 428 delete_module 176
"""
_GENERIC = """
getcwd 17 epoll_create1 20 epoll_ctl 21 epoll_pwait 22 dup 23 dup3 24 fcntl 25 ioctl 29 mkdirat 34 unlinkat 35
umount2 39 mount 40 statfs 43 fstatfs 44 truncate 45 ftruncate 46 faccessat 48 chdir 49 fchmodat 53 openat 56
close 57 pipe2 59 getdents64 61 lseek 62 read 63 write 64 readv 65 writev 66 pread64 67 pwrite64 68 pselect6 72
ppoll 73 readlinkat 78 newfstatat 79 fstat 80 fsync 82 fdatasync 83 utimensat 88 exit 93 exit_group 94
set_tid_address 96 unshare 97 futex 98 set_robust_list 99 get_robust_list 100 nanosleep 101 getitimer 102
setitimer 103 kexec_load 104 init_module 105 delete_module 106 clock_gettime 113 clock_getres 114
clock_nanosleep 115 ptrace 117 sched_setaffinity 122 sched_getaffinity 123 sched_yield 124 restart_syscall 128
kill 129 tkill 130 tgkill 131 sigaltstack 132 rt_sigaction 134 rt_sigprocmask 135 rt_sigreturn 139
getpriority 141 getresuid 148 getresgid 150 times 153 getpgid 155 getsid 156 setsid 157 getgroups 158 uname 160
getrlimit 163 getrusage 165 umask 166 prctl 167 getcpu 168 gettimeofday 169 getpid 172 getppid 173 getuid 174
geteuid 175 getgid 176 getegid 177 gettid 178 sysinfo 179 socket 198 socketpair 199 connect 203 sendto 206
brk 214 munmap 215 mremap 216 add_key 217 request_key 218 keyctl 219 clone 220 execve 221 mmap 222 fadvise64 223
mprotect 226 msync 227 mincore 232 madvise 233 perf_event_open 241 wait4 260 prlimit64 261 open_by_handle_at 265
setns 268 process_vm_readv 270 process_vm_writev 271 finit_module 273 renameat2 276 seccomp 277 getrandom 278
memfd_create 279 bpf 280 execveat 281 userfaultfd 282 membarrier 283 statx 291 rseq 293 eventfd2 19
io_uring_setup 425 clone3 435 faccessat2 439 pidfd_open 434 pidfd_getfd 438 move_mount 429 fsopen 430
open_tree 428
"""

#: Neither mincore nor fadvise64: with them one run could leave a mark in the page cache for the next to find.
_ALLOWED = """
read write readv writev pread64 open openat close stat fstat lstat newfstatat statx statfs fstatfs lseek access
faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd dup dup2 dup3 pipe pipe2
mmap mprotect munmap mremap madvise msync brk
rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack pause restart_syscall
poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2
nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times getitimer setitimer alarm
getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid
getrusage getrlimit getpriority sysinfo uname umask
sched_yield sched_getaffinity getcpu futex set_robust_list get_robust_list set_tid_address rseq membarrier
arch_prctl getrandom exit exit_group wait4
"""
#: What a worker with a private /tmp may do besides; elsewhere nothing is writable anyway.
_SCRATCH = """
mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 ftruncate truncate fsync fdatasync pwrite64 chdir
chmod fchmodat utimensat creat
"""
#: What no process in the box needs, the warm parent included.
_NEVER = """
ptrace process_vm_readv process_vm_writev keyctl add_key request_key bpf perf_event_open kexec_load init_module
finit_module delete_module userfaultfd io_uring_setup open_by_handle_at pidfd_getfd setns seccomp_none
"""

_LD_W_ABS, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x00010000
#: What fcntl may do: duplicate a descriptor, read and set its flags. Locks would let two workers talk through a
#: library's file, and an owner (F_SETOWN, F_SETSIG) would send signals that `kill` refuses.
_FCNTL = (0, 1, 2, 3, 4, 1030)


def _numbers() -> tuple[dict[str, int], int]:
    machine = platform.machine()
    if machine in ("x86_64", "AMD64"):
        words, arch = _X86_64.split(), 0xC000003E
    elif machine in ("aarch64", "arm64"):
        words, arch = _GENERIC.split(), 0xC00000B7
    else:
        raise OSError(_ENOSYS, f"no seccomp filter for {machine}")
    return dict(zip(words[::2], map(int, words[1::2]), strict=True)), arch


def _instruction(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
    return struct.pack("<HBBI", code, jt, jf, k & 0xFFFFFFFF)


def _prologue(arch: int) -> list[bytes]:
    out = [
        _instruction(_LD_W_ABS, _ARCH),
        _instruction(_JEQ, arch, 1, 0),
        _instruction(_RET, _KILL),
        _instruction(_LD_W_ABS, _NR),
    ]
    if arch == 0xC000003E:  # the x32 ABI has numbers of its own that would slip past a list
        out += [_instruction(_JGE, 0x40000000, 0, 1), _instruction(_RET, _ERRNO | _EPERM)]
    return out


def worker_filter(pid: int, scratch: bool) -> bytes:
    """Return the BPF program of a worker: an allow list, no new process, no socket, no signal to others.

    `pid` is the worker's own process id as it sees it: signals may go there and nowhere else.
    """
    numbers, arch = _numbers()
    program = _prologue(arch)
    # threads, but no processes: torch may start a thread, nobody may fork
    program += [
        _instruction(_JEQ, numbers["clone"], 0, 4),
        _instruction(_LD_W_ABS, _ARG0),
        _instruction(_JSET, _CLONE_THREAD, 0, 1),
        _instruction(_RET, _ALLOW),
        _instruction(_RET, _ERRNO | _EPERM),
    ]
    # clone3 passes its flags by pointer, out of a filter's sight; ENOSYS makes libc fall back to clone
    program += [_instruction(_JEQ, numbers["clone3"], 0, 1), _instruction(_RET, _ERRNO | _ENOSYS)]
    for name in ("kill", "tgkill"):
        program += [
            _instruction(_JEQ, numbers[name], 0, 4),
            _instruction(_LD_W_ABS, _ARG0),
            _instruction(_JEQ, pid, 0, 1),
            _instruction(_RET, _ALLOW),
            _instruction(_RET, _ERRNO | _EPERM),
        ]
    # prlimit64 reads limits (pid 0, no new limit checked by the kernel: hard limits cannot rise)
    program += [
        _instruction(_JEQ, numbers["prlimit64"], 0, 4),
        _instruction(_LD_W_ABS, _ARG0),
        _instruction(_JEQ, 0, 0, 1),
        _instruction(_RET, _ALLOW),
        _instruction(_RET, _ERRNO | _EPERM),
    ]
    program += [_instruction(_JEQ, numbers["fcntl"], 0, 2 * len(_FCNTL) + 2), _instruction(_LD_W_ABS, _ARG1)]
    for command in _FCNTL:
        program += [_instruction(_JEQ, command, 0, 1), _instruction(_RET, _ALLOW)]
    program.append(_instruction(_RET, _ERRNO | _EPERM))
    names = _ALLOWED.split() + (_SCRATCH.split() if scratch else [])
    allowed = sorted({numbers[n] for n in names if n in numbers})
    for number in allowed:
        program += [_instruction(_JEQ, number, 0, 1), _instruction(_RET, _ALLOW)]
    program.append(_instruction(_RET, _ERRNO | _EPERM))
    return b"".join(program)


def box_filter() -> bytes:
    """Return the BPF program of the whole box: what not even the warm parent needs is refused."""
    numbers, arch = _numbers()
    program = _prologue(arch)
    for name in _NEVER.split():
        if name in numbers:
            program += [_instruction(_JEQ, numbers[name], 0, 1), _instruction(_RET, _ERRNO | _EPERM)]
    program.append(_instruction(_RET, _ALLOW))
    return b"".join(program)


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install_filter(program: bytes) -> None:
    """Load a BPF program as seccomp filter for this process and all that it starts."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = _SockFprog(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    result = _libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(fprog), 0, 0)
    _check(result, "seccomp")


# --- Landlock ------------------------------------------------------------------------------------------------

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_FS_EXECUTE, _FS_WRITE_FILE, _FS_READ_FILE, _FS_READ_DIR = 1, 2, 4, 8
_FS_ALL_V1 = (1 << 13) - 1
READ = _FS_READ_FILE | _FS_READ_DIR | _FS_EXECUTE
LIST = _FS_READ_DIR
WRITE_DEVICE = _FS_READ_FILE | _FS_WRITE_FILE


def landlock_version() -> int:
    """Return the kernel's Landlock ABI version, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    version = int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1)))
    return max(version, 0)


def landlock(rules: list[tuple[str, int]]) -> None:
    """Forbid every file access but the given (path, access) rules, TCP, and signals and sockets to others.

    Raise OSError where the kernel has no Landlock. Needs `no_new_privileges` before.
    """
    version = landlock_version()
    if version < 1:
        raise OSError(_ENOSYS, "this kernel has no Landlock")
    handled = _FS_ALL_V1
    handled |= (1 << 13) if version >= 2 else 0  # refer
    handled |= (1 << 14) if version >= 3 else 0  # truncate
    handled |= (1 << 15) if version >= 5 else 0  # ioctl on devices
    attribute = struct.pack("<Q", handled)
    if version >= 4:
        attribute += struct.pack("<Q", 3)  # bind and connect TCP
    if version >= 6:
        attribute += struct.pack("<Q", 3)  # abstract sockets and signals
    ruleset = _check(
        _libc.syscall(_LANDLOCK_CREATE, attribute, ctypes.c_size_t(len(attribute)), ctypes.c_uint(0)),
        "landlock_create_ruleset",
    )
    file_rights = _FS_EXECUTE | _FS_WRITE_FILE | _FS_READ_FILE
    try:
        for path, access in rules:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue  # what is not there needs no rule
            try:
                if not os.path.isdir(path):
                    access &= file_rights
                rule = struct.pack("<Qi", access, fd)
                _check(_libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, ctypes.c_uint(0)), "landlock_add_rule")
            finally:
                os.close(fd)
        _check(_libc.syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint(0)), "landlock_restrict_self")
    finally:
        os.close(ruleset)


# --- rlimits -------------------------------------------------------------------------------------------------


def tasks_of_user() -> int:
    """Return how many threads this user runs, as far as /proc tells; 0 where there is no /proc."""
    me, count = os.geteuid(), 0
    try:
        names = os.listdir("/proc")
    except OSError:
        return 0
    for name in names:
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == me:
                count += os.stat(f"/proc/{name}/task").st_nlink - 2  # a folder for each thread
        except OSError:
            continue  # it has ended
    return count


def limit_resources(*, memory_mb: int, cpu_seconds: float, scratch_mb: int = 0, threads: int) -> None:
    """Set the process's rlimits: address space, CPU seconds, file size, descriptors, threads, no core files."""
    import resource

    def put(number: int, value: int) -> None:
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(number, (value, value))

    put(resource.RLIMIT_CORE, 0)
    put(resource.RLIMIT_CPU, int(cpu_seconds) + 2)  # the examiner kills at the exact limit; this is the backstop
    put(resource.RLIMIT_FSIZE, scratch_mb << 20)
    put(resource.RLIMIT_NOFILE, 64)
    put(resource.RLIMIT_AS, memory_mb << 20)
    put(resource.RLIMIT_NPROC, threads)
    put(resource.RLIMIT_MEMLOCK, 0)
    put(resource.RLIMIT_MSGQUEUE, 0)
