"""Leaving early and faking the runner: an exit, a signal, a hook or a planted file must not look like a pass.

Should a limit fail, nothing is broken: signals ask only whether they might be sent, planted files are empty.

Each attack is (name, what its checks must come to, source). A part or check that is not named must pass.
"""

GONE = "raised: the code ended its own process (exit status 0)"
AT_LOAD = "raised: {} is not there: loading the file raised {} at leaky.py, line 2"
WRONG = "failed: the values are wrong"

ATTACKS = [
    (
        "exits_while_loading",
        {"step": AT_LOAD.format("step", "SystemExit"), "run": AT_LOAD.format("run", "SystemExit")},
        "raise SystemExit(0)",
    ),
    (
        "interrupts_while_loading",
        {"step": AT_LOAD.format("step", "KeyboardInterrupt"), "run": AT_LOAD.format("run", "KeyboardInterrupt")},
        "raise KeyboardInterrupt",
    ),
    (
        "leaves_the_process_while_loading",
        {"*": "raised: the file could not be loaded: the code ended its own process (exit status 0)"},
        """
import os
os._exit(0)
""",
    ),
    (
        "kills_itself_while_loading",
        {"*": "raised: the file could not be loaded: the process crashed (signal 11)"},
        """
import ctypes
ctypes.string_at(0)
""",
    ),
    (
        "exits_in_a_call",
        {"step": "raised: raised SystemExit at leaky.py, line 4"},
        """
def step(x, h, a):
    raise SystemExit(0)
""",
    ),
    (
        "interrupts_in_a_call",
        {"step": "raised: raised KeyboardInterrupt at leaky.py, line 4"},
        """
def step(x, h, a):
    raise KeyboardInterrupt
""",
    ),
    (
        "leaves_the_process_in_a_call",
        {"step": GONE},
        """
def step(x, h, a):
    import os
    os._exit(0)
""",
    ),
    (
        "leaves_by_the_system_call",
        {"step": GONE},
        """
def step(x, h, a):
    import ctypes
    ctypes.CDLL(None).syscall(231, 0)
""",
    ),
    (
        "leaves_from_a_thread",
        {"step": GONE},
        """
def step(x, h, a):
    import os, threading, time
    threading.Thread(target=lambda: os._exit(0)).start()
    time.sleep(1)
""",
    ),
    (
        "crashes",
        {"step": "raised: the process crashed (signal 11)"},
        """
def step(x, h, a):
    import ctypes
    return ctypes.string_at(0)
""",
    ),
    (
        "aborts",
        {"step": "raised: the process crashed (signal *)"},
        """
def step(x, h, a):
    import os
    os.abort()
""",
    ),
    (
        "skips_by_pytest",
        {"step": "raised: raised ModuleNotFoundError at leaky.py, line 4"},
        """
def step(x, h, a):
    import pytest
    pytest.skip("not today")
""",
    ),
    (
        "skips_by_pytests_own_exception",
        {"step": "raised: raised ModuleNotFoundError at leaky.py, line 4"},
        """
def step(x, h, a):
    from _pytest.outcomes import Exit, Skipped, XFailed
    raise Exit("done", 0)
""",
    ),
    (
        "skips_by_unittest",
        {"step": "raised: raised an exception at leaky.py, line 5"},
        """
def step(x, h, a):
    import unittest
    raise unittest.SkipTest("not today")
""",
    ),
    (
        "names_an_exception_after_the_runners",
        {"step": "raised: raised an exception at leaky.py, line 8"},
        """
class Skipped(BaseException):
    pass
Skipped.__module__ = "_pytest.outcomes"
Skipped.__qualname__ = "Skipped"
def step(x, h, a):
    raise Skipped("not today")
""",
    ),
    (
        "returns_a_verdict",
        {"step": "failed: step returned a dict of 3 where a number is asked"},
        """
def step(x, h, a):
    return {"outcome": "passed", "earned": 100.0, "checks": {}}
""",
    ),
    (
        "leaves_work_for_the_end",
        {"step": WRONG},
        """
import atexit, os, threading
def late():
    os.write(3, b"UNR1" + bytes(16))
    os.write(1, b"LEAK")
atexit.register(late)
threading._register_atexit(late)
def step(x, h, a):
    return 7.25
""",
    ),
    (
        "signals_its_parent",
        {"step": "raised: raised PermissionError at leaky.py, line 5"},
        """
def step(x, h, a):
    import os
    os.kill(os.getppid(), 0)  # asks whether it might
    return 7.25
""",
    ),
    (
        "signals_everybody",
        {"step": "raised: raised RuntimeError at leaky.py, line 13", "detail": "RuntimeError: reached nobody"},
        """
def step(x, h, a):
    import os
    reached = []
    for target in [-1, 0, -os.getpid() - 1, *range(2, 400)]:
        try:
            os.kill(target, 0)
            reached.append(target)
        except OSError:
            pass
    names = ", ".join(map(str, reached)) or "nobody"
    raise RuntimeError("reached " + names)
""",
    ),
    (
        "stops_itself",
        {},
        """
import os, signal
def step(x, h, a):
    # the first process of a process namespace cannot be stopped from inside, and nothing else waits for it
    for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP):
        os.kill(os.getpid(), number)
    return a * h + (1 - a) * x
""",
    ),
    (
        "kills_the_alarm",
        {"step": "timed out: took longer than *"},
        """
import signal
def step(x, h, a):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    signal.alarm(0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
""",
    ),
    (
        "traces_the_worker",
        {"step": WRONG},
        """
import sys
def trace(frame, event, value):
    for name in ("outcome", "passed", "want", "expected"):
        if name in frame.f_locals:
            frame.f_locals[name] = True
    return trace
def step(x, h, a):
    sys.settrace(trace)
    sys.setprofile(trace)
    return 7.25
""",
    ),
    (
        "rewrites_its_replies_from_a_trace_hook",
        {"step": "failed: the code interfered with the grader's connection"},
        """
import sys
def trace(frame, event, value):
    if "tree" in frame.f_locals:
        frame.f_locals["tree"] = True
    return trace
def step(x, h, a):
    sys.settrace(trace)
    return 7.25
""",
    ),
    (
        "raises_from_a_trace_hook",
        {"step": "raised: *"},
        """
import sys
def hook(frame, event, value):
    raise SystemExit(0)
def step(x, h, a):
    sys.setprofile(hook)
    return 7.25
""",
    ),
    (
        "patches_numpy",
        {"step": WRONG},
        """
import sys
for name in ("allclose", "isclose", "array_equal", "isfinite", "abs", "max"):
    setattr(np, name, lambda *a, **k: True)
np.testing.assert_allclose = lambda *a, **k: None
def step(x, h, a):
    return 7.25
def run(xs, h0, a):
    states, h = [], h0
    for x in xs:
        h = a * h + (1 - a) * x
        states.append(h)
    return np.array(states)
""",
    ),
    (
        "patches_the_builtins",
        {"step": WRONG},
        """
import builtins, math, operator
builtins.abs = builtins.max = lambda *a, **k: 0
builtins.AssertionError = RuntimeWarning
math.isclose = lambda *a, **k: True
operator.eq = lambda *a: True
def step(x, h, a):
    return 7.25
""",
    ),
    (
        "forbids_the_curse_of_types",
        {"step": WRONG},
        """
import ctypes
class Hidden(ctypes.Structure):
    _fields_ = [("references", ctypes.c_ssize_t), ("type", ctypes.c_void_p), ("value", ctypes.c_double)]
def step(x, h, a):
    # rewrites the interpreter's own float objects, here and nowhere else
    for number in (0.0, 1.0, 1e-4, h, x, a):
        Hidden.from_address(id(number)).value = 0.5
    return 7.25
""",
    ),
    (
        "patches_the_worker",
        {"step": WRONG},
        """
import gc, sys
def step(x, h, a):
    for name, module in list(sys.modules.items()):
        if name.startswith("inside"):
            for key in ("WireError", "Unsendable"):
                if hasattr(module, key):
                    setattr(module, key, KeyError)
    for thing in gc.get_objects():
        if type(thing).__name__ == "Worker":
            thing._describe = lambda error: {"kind": "passed"}
            thing.names = frozenset(["passed"]) | thing.names
    return 7.25
""",
    ),
    (
        "takes_its_module_away",
        {"step": "not attempted: not written yet", "run": "not attempted: not written yet"},
        """
import sys
def step(x, h, a):
    sys.modules["leaky"].__dict__.clear()
    raise NotImplementedError
""",
    ),
    (
        "replaces_its_module",
        {"step": WRONG},
        """
import sys, types
class Fake(types.ModuleType):
    def __getattr__(self, name):
        return lambda *a, **k: 0.0
sys.modules["leaky"].__class__ = Fake
sys.modules["leaky"] = sys.modules["test_hidden"] = sys.modules["pytest"] = Fake("leaky")
def step(x, h, a):
    return 7.25
""",
    ),
    (
        "plants_files",
        {"step": "raised: raised RuntimeError at leaky.py, line 16", "detail": "RuntimeError: planted nothing"},
        """
import os, sys
def step(x, h, a):
    planted = []
    folders = {".", "/", "/tmp", "/run", "/dev/shm", "/var/tmp", os.path.expanduser("~"), *sys.path, *map(
        os.path.dirname, filter(None, (getattr(m, "__file__", None) for m in list(sys.modules.values()))))}
    for folder in folders:
        for name in ("conftest.py", "pytest.ini", "sitecustomize.py", "numpy.py", "a.pth", "__pycache__/os.pyc"):
            try:
                open(os.path.join(folder, name + "~"), "a").close()
                planted.append(os.path.join(folder, name))
            except OSError:
                pass
    found = ", ".join(planted) or "nothing"
    raise RuntimeError("planted " + found)
""",
    ),
]
