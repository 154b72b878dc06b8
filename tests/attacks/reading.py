"""Reading answers: where the code runs there is no test, no reference, no other submission and no secret.

Each attack is (name, what its checks must come to, source). A part or check that is not named must pass. What an
attack finds it reports in an exception: `detail` is what the instructor must then read. @COURSE@, @CANARY@ and
@NEIGHBOUR@ are filled in: the course's folder, a file that anybody may read, another student's file.
"""

REPORT = """
def report(found):
    found = sorted(set(map(str, found)))
    raise RuntimeError("found " + (", ".join(found)[:300] or "nothing"))
"""
NOTHING = {"step": "raised: raised RuntimeError at leaky.py, line 5", "detail": "RuntimeError: found nothing"}


def look(source: str) -> str:
    """Return an attack whose `step` reports what the body, which appends to `found`, has found."""
    body = "\n".join("    " + line for line in source.strip().splitlines())
    return f"{REPORT}\ndef step(x, h, a):\n    found = []\n{body}\n    report(found)\n"


ATTACKS = [
    (
        "walks_the_frames",
        NOTHING,
        look("""
import sys
frame = sys._getframe()
while frame is not None:
    for space in (frame.f_locals, frame.f_globals):
        for name in ("want", "expected", "rng", "seed", "closed_form", "Examination", "pytest", "student"):
            if name in space:
                found.append(name)
    frame = frame.f_back
"""),
    ),
    (
        "asks_the_garbage_collector",
        NOTHING,
        look("""
import gc
markers = ["_".join(pair) for pair in (("closed", "form"), ("test", "hidden"), ("swaps", "the_shares"))]
for thing in gc.get_objects():
    if type(thing) is dict:
        found += [m for m in markers if m in thing]
    elif type(thing) in (list, tuple):
        found += [m for m in markers for item in thing if type(item) is str and m in item and item is not m
                  and thing is not markers and "_".join(("gc", "get_objects")) not in item]
"""),
    ),
    (
        "reads_the_line_cache",
        NOTHING,
        look("""
import inspect, linecache
for name, entry in linecache.cache.items():
    if not name.startswith("<leaky.py") and not name.startswith("/"):
        found.append(name)
    found += ["hidden" for line in (entry[2] if len(entry) > 2 else ()) if "weighted" + " sums" in line]
"""),
    ),
    (
        "looks_among_the_modules",
        NOTHING,
        look("""
import sys, importlib
found += [n for n in sys.modules if n.split(".")[0] in ("grader", "pytest", "_pytest", "test_hidden", "sqlalchemy")]
for name in ("grader", "grader.checking", "test_hidden", "solutions", "conftest", "pytest", "_pytest", "sqlalchemy"):
    try:
        importlib.import_module(name)
        found.append(name)
    except ImportError:
        pass
"""),
    ),
    (
        "reads_proc",
        NOTHING,
        look("""
import os
for path in ("/proc", "/sys", "/proc/self", "/proc/1", "/proc/sys/kernel"):
    try:
        found += [path + "/" + name for name in os.listdir(path) if name != "cpuinfo"]
    except OSError:
        pass
for path in ("/proc/self/maps", "/proc/self/environ", "/proc/1/cmdline", "/proc/self/mem", "/proc/mounts",
             "/proc/sys/kernel/core_pattern", "/proc/self/root/etc/passwd", "/dev/fd/3", "/etc/passwd"):
    try:
        open(path, "rb").read(1)
        found.append(path)
    except OSError:
        pass
"""),
    ),
    (
        "reads_the_environment",
        NOTHING,
        look("""
import ctypes, os
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
words = [f"{k}={v}" for k, v in os.environ.items()]
words += [str(libc.getenv(name)) for name in (b"UNROLLED_CANARY", b"USER", b"PWD", b"GRADER_COURSE", b"VIRTUAL_ENV")]
found += [w for w in words if "canary" in w.lower() or "/work" in w or "/root" in w or "@COURSE@" in w]
found += [k for k in os.environ if k not in (
    "LANG", "LC_ALL", "LC_CTYPE", "HOME", "TMPDIR", "PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "PWD")]
"""),
    ),
    (
        "reads_the_command_line",
        NOTHING,
        look("""
import sys
words = [*sys.argv, *sys.orig_argv]
found += [w for w in words if "hidden" in w or "seed" in w or "@COURSE@" in w]
"""),
    ),
    (
        "uses_inherited_descriptors",
        NOTHING,
        look("""
import fcntl, os, stat
for number in range(1024):
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        continue
    mode = os.fstat(number).st_mode
    kind = {0: stat.S_ISCHR, 1: stat.S_ISFIFO, 2: stat.S_ISFIFO, 3: stat.S_ISSOCK}.get(number)
    if kind is None or not kind(mode):
        found.append(number)
for number in range(64):
    for way in ("..", "../..", "../../../../etc/passwd", "."):
        try:
            os.close(os.open(way, os.O_RDONLY, dir_fd=number))
            found.append((number, way))
        except OSError:
            pass
"""),
    ),
    (
        "walks_the_disk",
        NOTHING,
        look("""
import os
for folder, folders, files in os.walk("/"):
    for name in folders + files:
        if name in ("test_hidden.py", "mutants.yaml", "leaky.py", "solutions", ".git", ".grader", "grades.db",
                    "secret", "pytest", "_pytest", "torch", "checking", "pip", "canary", "shadow", "passwd"):
            path = os.path.join(folder, name)
            try:
                content = os.listdir(path) if os.path.isdir(path) else open(path).read(1)
            except OSError:
                continue
            if content:
                found.append(path)
"""),
    ),
    (
        "knows_the_paths",
        NOTHING,
        look("""
import os
for path in ("@COURSE@", "@COURSE@/solutions", "@COURSE@/solutions/leaky/test_hidden.py", "@COURSE@/.grader",
             "@COURSE@/solutions/leaky/leaky.py", "@COURSE@/solutions/leaky/mutants.yaml", "@CANARY@", "@NEIGHBOUR@"):
    for way in (os.listdir, os.readlink, lambda p: open(p, "rb").read(1),
                lambda p: os.listdir(os.open(p, os.O_PATH)),
                lambda p: os.open(".", os.O_RDONLY, dir_fd=os.open(p, os.O_PATH))):
        try:
            way(path)
            found.append(path)
        except OSError:
            pass
"""),
    ),
    (
        "leaves_a_diary",
        {"step": "raised: raised RuntimeError at leaky.py, line 5", "detail": "RuntimeError: found nothing"},
        look("""
import os, ctypes
libc = ctypes.CDLL(None, use_errno=True)
for place in ("/tmp/diary", "/dev/shm/diary", "/var/tmp/diary", "/run/diary", "diary", "/diary", "/dev/diary"):
    try:
        with open(place, "w") as stream:
            stream.write(f"{x} {h} {a}")
        found.append(place)
    except OSError:
        pass
size = ctypes.c_size_t(4096)
ways = {
    "shmget": lambda: libc.syscall(29, 0x1234, size, 0o1666),
    "msgget": lambda: libc.syscall(68, 0x1234, 0o1666),
    "semget": lambda: libc.syscall(64, 0x1234, 1, 0o1666),
    "mq_open": lambda: libc.syscall(240, b"diary", 0o102, 0o666, None),
    "memfd": lambda: libc.syscall(319, b"diary", 0),
    "add_key": lambda: libc.syscall(248, b"user", b"diary", b"x", size, -4),
    "socket": lambda: libc.syscall(41, 1, 1, 0),
    "socketpair": lambda: libc.syscall(53, 1, 1, 0, (ctypes.c_int * 2)()),
    "flock": lambda: libc.syscall(73, os.open("/dev/null", os.O_RDONLY), 2),
    "setpriority": lambda: libc.syscall(141, 0, 0, 5),
    "affinity": lambda: libc.syscall(203, 0, 8, (ctypes.c_ulong * 1)(1)),
    "setsid": lambda: libc.syscall(112),
    "name": lambda: libc.syscall(170, b"diary", 5),
    "mtime": lambda: libc.syscall(280, -100, b"/dev/null", None, 0),
    "chmod": lambda: libc.syscall(90, b"/tmp", 0o700),
    "xattr": lambda: libc.syscall(188, b"/tmp", b"user.diary", b"x", 1, 0),
    "lock": lambda: libc.syscall(72, os.open("/dev/null", os.O_RDONLY), 6, bytes(32)),
    "lease": lambda: libc.syscall(72, os.open("/dev/null", os.O_RDONLY), 1024, 0),
    "notify": lambda: libc.syscall(253),
}
found += [name for name, way in ways.items() if way() >= 0]
"""),
    ),
    (
        "reads_the_diary",
        NOTHING,
        look("""
import os
for place in ("/tmp", "/dev/shm", "/var/tmp", "/run", "."):
    try:
        found += [place + "/" + name for name in os.listdir(place) if "diary" in name]
        # folders are the way to an interpreter that lies there; a file is somebody's
        found += [f"/tmp/{name}" for name in os.listdir("/tmp") if os.path.isfile(f"/tmp/{name}")]
    except OSError:
        pass
"""),
    ),
    (
        "tells_its_inputs_in_an_exception",
        {"step": "raised: raised ValueError at leaky.py, line 4"},
        """
def step(x, h, a):
    raise ValueError(f"LEAK {x!r} {h!r} {a!r}")
""",
    ),
    (
        "tells_its_inputs_in_a_name",
        {"step": "raised: raised an exception at leaky.py, line 4"},
        """
def step(x, h, a):
    raise type(f"LEAK_{x!r}_{h!r}", (Exception,), {})()
""",
    ),
    (
        "tells_its_inputs_in_a_file_name",
        {"step": "raised: raised ZeroDivisionError at leaky.py, line 5"},
        """
def step(x, h, a):
    code = compile("1 / 0", f"<LEAK {x!r}>", "exec")
    exec(code)
""",
    ),
    (
        "tells_its_inputs_in_a_label",
        {"step": "raised: raised ZeroDivisionError"},
        """
import gc
def step(x, h, a):
    for thing in gc.get_objects():
        if type(thing).__name__ == "Worker":
            thing.labels = {key: f"LEAK {x!r}" for key in thing.labels}
    1 / 0
""",
    ),
    (
        "tells_its_inputs_in_a_key",
        {"step": "failed: step returned a dict of 1 where a number is asked"},
        "def step(x, h, a): return {f'LEAK {x!r}': 0}",
    ),
    (
        "tells_its_inputs_in_a_type",
        {"step": "failed: step returned an object that is not plain data where a number is asked"},
        "def step(x, h, a): return type(f'LEAK_{x!r}', (), {})()",
    ),
    (
        "tells_its_inputs_in_a_dtype",
        {"step": "failed: returned an array that does not hold numbers"},
        "def step(x, h, a): return np.zeros((), dtype=[(f'LEAK {x!r}', '<f8')])",
    ),
    (
        "tells_its_inputs_in_a_record",
        {"step": "failed: step returned an object that is not plain data where a number is asked"},
        """
import collections
def step(x, h, a):
    return collections.namedtuple("LEAK", "shape fields")(("LEAK", repr(x)), "LEAK")
""",
    ),
    (
        "prints_its_inputs",
        {"step": "failed: the values are wrong"},
        """
def step(x, h, a):
    print("LEAK", x, h, a)
    return 7.25
""",
    ),
]
