"""Breaking the service: every attack is bounded in time and memory, named in its outcome, and disturbs nobody.

Each attack is (name, what its checks must come to, source). A part or check that is not named must pass. All of
them are bounded by themselves as well: should a limit fail, the machine that runs the tests survives.
"""

LATE = "timed out: took longer than *"  # the CPU limit, or on a busy machine the other one
ASLEEP = "timed out: took longer than 4 seconds"
FULL = "out of memory: ran out of memory (it may use 512 MiB)"
BROKEN = "failed: the code interfered with the grader's connection"
BIG = "failed: returned more than 16 MiB (reply too large)"
DEEP = "failed: returned a value that is nested too deep"
WIDE = "failed: returned more values than are read: use arrays"

WIRE = """
import gc, json, os, struct
def worker():
    return next(thing for thing in gc.get_objects() if type(thing).__name__ == "Worker")
def frame(tree, magic=b"UNR1", size=None, buffers=0, payload=0):
    text = json.dumps(tree).encode()
    return struct.pack("<4sIIQ", magic, len(text) if size is None else size, buffers, payload) + text
def ok(value):
    return frame(["t", worker().request, "ok", value])
"""

ATTACKS = [
    ("loops", {"step": LATE}, "def step(x, h, a):\n    while True: pass"),
    (
        "loops_and_holds_on",
        {"step": LATE},
        """
def step(x, h, a):
    while True:
        try:
            while True: pass
        finally:
            continue
""",
    ),
    ("loops_in_c", {"step": LATE}, "def step(x, h, a): return sum(range(10 ** 12))"),
    (
        "loops_in_a_pattern",
        {"step": LATE},
        "import re\ndef step(x, h, a): return re.match('(a|aa)+$', 'a' * 60 + 'b')",
    ),
    ("loops_in_arithmetic", {"step": LATE}, "def step(x, h, a): return pow(3, 10 ** 8) % 7"),
    ("sleeps", {"step": ASLEEP}, "import time\ndef step(x, h, a): time.sleep(1000)"),
    (
        "waits_for_itself",
        {"step": ASLEEP},
        "import threading\ndef step(x, h, a):\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()",
    ),
    ("reads_what_never_comes", {"step": ASLEEP}, "import os\ndef step(x, h, a): return os.read(3, 1)"),
    ("asks_for_a_line", {"step": "raised: raised EOFError at leaky.py, line 2"}, "def step(x, h, a): return input()"),
    (
        "loads_for_ever",
        {"*": "timed out: the file could not be loaded: took longer than *"},
        "while True: pass",
    ),
    (
        "sleeps_in_every_call",
        {
            "step": ASLEEP,
            "test_run": ASLEEP,
            "test_run_from_rest": "timed out: the submission has used up its 6 seconds",
            "test_inputs_are_left": "timed out: the submission has used up its 6 seconds",
        },
        "import time\ndef step(x, h, a): time.sleep(60)\ndef run(xs, h0, a): time.sleep(60)",
    ),
    ("one_large_block", {"step": FULL}, "def step(x, h, a): return len(bytearray(4 << 30))"),
    ("one_large_array", {"step": FULL}, "def step(x, h, a): return np.ones(1 << 29).sum()"),
    (
        "many_small_blocks",
        {"step": FULL},
        "def step(x, h, a):\n    kept = []\n    for _ in range(1 << 14): kept.append(bytes(1 << 18))",
    ),
    (
        "memory_while_loading",
        {
            "step": "out of memory: step is not there: loading the file raised MemoryError at leaky.py, line 2",
            "run": "out of memory: run is not there: loading the file raised MemoryError at leaky.py, line 2",
        },
        "hoard = [bytes(1 << 20) for _ in range(4096)]",
    ),
    (
        "shared_memory",
        {"step": "raised: raised OSError at leaky.py, line 6"},
        """
import mmap
def step(x, h, a):
    kept = []
    for _ in range(64): kept.append(mmap.mmap(-1, 32 << 20))
""",
    ),
    (
        "memory_of_the_kernel",
        {"step": "raised: raised OSError at leaky.py, line 6"},
        """
import os
def step(x, h, a):
    ends = []
    for _ in range(4096): ends.append(os.pipe())  # they stay open, for Python does not know them
""",
    ),
    (
        "forks",
        {"step": "raised: raised PermissionError at leaky.py, line 5"},
        """
import os
def step(x, h, a):
    for _ in range(50): os.fork() or os._exit(0)
""",
    ),
    (
        "starts_very_many_threads",
        {"step": "raised: raised RuntimeError at leaky.py, line 7"},
        """
import threading, time
def step(x, h, a):
    end = threading.Event()
    for _ in range(2000):
        threading.Thread(target=end.wait, args=(20,), daemon=True).start()
    end.set()
    return a * h + (1 - a) * x
""",
    ),
    (
        "burns_in_the_background",
        {},
        """
import threading
def burn():
    while True: pass
def step(x, h, a):
    for _ in range(2): threading.Thread(target=burn, daemon=True).start()
    return a * h + (1 - a) * x
""",
    ),
    (
        "starves_the_worker",
        {"step": "timed out: took longer than *"},
        """
import sys, threading
def step(x, h, a):
    sys.setswitchinterval(1e6)
    threading.Thread(target=lambda: sum(range(10 ** 12)), daemon=True).start()
    return a * h + (1 - a) * x
""",
    ),
    (
        "fills_the_disk",
        {"step": "raised: raised OSError at leaky.py, line 4"},
        """
def step(x, h, a):
    with open("/tmp/unrolled-large", "wb") as stream:
        for _ in range(256): stream.write(bytes(1 << 20))
""",
    ),
    (
        "uses_up_the_inodes",
        {"step": "raised: raised OSError at leaky.py, line 5"},
        """
def step(x, h, a):
    for number in range(2_000):
        open(f"/tmp/unrolled-{number}", "w").close()
""",
    ),
    (
        "prints_without_end",
        {"step": "failed: printed more than 4 MiB"},
        "def step(x, h, a):\n    while True: print('x' * 10_000)",
    ),
    (
        "prints_without_end_past_python",
        {"step": "failed: printed more than 4 MiB"},
        "import os\ndef step(x, h, a):\n    while True: os.write(2, bytes(1 << 16))",
    ),
    (
        "prints_without_end_while_loading",
        {"*": "failed: the file could not be loaded: printed more than 4 MiB"},
        "while True: print('x' * 10_000)",
    ),
    ("recurses", {"step": "raised: raised RecursionError at leaky.py, line 2"}, "def step(*args): return step(*args)"),
    (
        "recurses_past_the_stack",
        {"step": "raised: the process crashed (signal 11)"},
        """
import sys
sys.setrecursionlimit(10 ** 9)
def step(x, h, a):
    return sorted([x], key=lambda x: step(x, h, a))
""",
    ),
    (
        "a_source_too_deep_for_the_parser",
        {
            "step": "out of memory: step is not there: loading the file raised MemoryError",
            "run": "out of memory: run is not there: loading the file raised MemoryError",
            "flags": "the source could not be searched for forbidden names",
        },
        "x = " + "-" * 200_000 + "1",
    ),
    (
        "brackets_too_deep_for_the_parser",
        {
            "step": "raised: step is not there: loading the file raised SyntaxError at leaky.py, line 2",
            "run": "raised: run is not there: loading the file raised SyntaxError at leaky.py, line 2",
        },
        "x = " + "(" * 5_000 + "1" + ")" * 5_000,
    ),
    ("a_huge_answer", {"step": BIG}, "def step(x, h, a): return np.zeros(1 << 22)"),
    ("a_huge_text", {"step": WIDE}, "def step(x, h, a): return 'x' * (1 << 25)"),
    ("a_wide_answer", {"step": WIDE}, "def step(x, h, a): return range(10 ** 12)"),
    (
        "an_endless_answer",
        {"step": "failed: returned a generator of too many items"},
        "def step(x, h, a):\n    while True: yield 1",
    ),
    (
        "many_small_arrays",
        {"step": WIDE},
        "def step(x, h, a): return [np.zeros(1)] * 5000",
    ),
    (
        "a_deep_answer",
        {"step": DEEP},
        "def step(x, h, a):\n    value = 0\n    for _ in range(100_000): value = [value]\n    return value",
    ),
    (
        "an_answer_that_holds_itself",
        {"step": DEEP},
        "def step(x, h, a):\n    value = []\n    value.append(value)\n    return value",
    ),
    (
        "keys_that_collide",
        {"step": BROKEN},
        "def step(x, h, a): return {n * (2 ** 61 - 1): 0 for n in range(1, 1000)}",
    ),
    (
        "garbage_on_the_wire",
        {"step": BROKEN},
        "import os\ndef step(x, h, a):\n    os.write(3, b'garbage' * 10)\n    return 7.25",
    ),
    (
        "garbage_on_the_wire_while_loading",
        {"*": "failed: the file could not be loaded: the code interfered with the grader's connection"},
        "import os\nos.write(3, b'garbage' * 10)",
    ),
    (
        "a_giant_frame",
        {"step": BIG},
        WIRE + "def step(x, h, a):\n    os.write(3, frame(0, buffers=1, payload=1 << 62))\n    return 7.25",
    ),
    (
        "a_giant_tree",
        {"step": BIG},
        WIRE + "def step(x, h, a):\n    os.write(3, frame(0, size=0xFFFFFFFF))\n    return 7.25",
    ),
    (
        "very_many_buffers",
        {"step": BIG},
        WIRE + "def step(x, h, a):\n    os.write(3, frame(0, buffers=0xFFFFFFFF))\n    return 7.25",
    ),
    (
        "a_frame_that_never_ends",
        {"step": ASLEEP},
        WIRE
        + """
import time
def step(x, h, a):
    os.write(3, frame(0, size=1 << 20))
    time.sleep(60)
""",
    ),
    (
        "one_byte_at_a_time",
        {"step": ASLEEP},
        WIRE
        + """
import time
def step(x, h, a):
    os.write(3, frame(0, size=1 << 20))
    while True:
        os.write(3, b" ")
        time.sleep(0.01)
""",
    ),
    (
        "a_reply_to_nothing",
        {"step": BROKEN},
        WIRE + "def step(x, h, a):\n    os.write(3, frame(['t', 10 ** 9, 'ok', 0.5]))\n    return 7.25",
    ),
    (
        "a_forged_reply_before_the_true_one",
        {"step": "failed: the values are wrong", "test_run": BROKEN},
        WIRE + "def step(x, h, a):\n    os.write(3, ok(7.25))\n    return a * h + (1 - a) * x",
    ),
    (
        "a_second_reply",
        {"test_run": BROKEN},
        WIRE + "def step(x, h, a):\n    os.write(3, ok(a * h + (1 - a) * x))\n    return 7.25",
    ),
    (
        "a_reply_of_an_unknown_kind",
        {"step": BROKEN},
        WIRE + "def step(x, h, a):\n    os.write(3, frame(['t', worker().request, 'passed', 100]))\n    return 7.25",
    ),
    (
        "a_call_of_a_function_that_it_was_not_given",
        {"step": BROKEN},
        WIRE
        + """
def step(x, h, a):
    os.write(3, frame(["t", worker().request, "call", 1, ["t"], ["d"]]))
    return 7.25
""",
    ),
    (
        "an_error_of_its_own_making",
        {"step": "raised: raised an exception", "test_run": "raised: the code ended its own process (exit status 0)"},
        WIRE
        + """
import time
def step(x, h, a):
    error = ["d", *map(list, {"kind": "passed", "type": "LEAK", "message": "LEAK", "label": "LEAK", "line": 7}.items())]
    os.write(3, frame(["t", worker().request, "error", error]))
    time.sleep(0.5)
    os._exit(0)
""",
    ),
    (
        "an_error_in_which_nothing_is_what_it_should_be",
        {"step": "raised: raised an exception", "test_run": "raised: the code ended its own process (exit status 0)"},
        WIRE
        + """
import time
def step(x, h, a):
    odd = ["a", "|b1", [3], 0]
    error = ["d", *([key, odd] for key in ("kind", "type", "message", "label", "line"))]
    head = frame(["t", worker().request, "error", error], buffers=1, payload=3)
    os.write(3, head[:20] + struct.pack("<Q", 3) + head[20:] + bytes(3))
    time.sleep(0.5)
    os._exit(0)
""",
    ),
    (
        "a_reply_whose_kind_is_an_array",
        {"step": BROKEN},
        WIRE
        + """
def step(x, h, a):
    head = frame(["t", worker().request, ["a", "|b1", [3], 0], 0], buffers=1, payload=3)
    os.write(3, head[:20] + struct.pack("<Q", 3) + head[20:] + bytes(3))
    return 7.25
""",
    ),
    (
        "a_forged_reply_while_loading",
        {"*": BROKEN},
        WIRE
        + """
import time
os.write(3, ok(["d", ["defined", 5], ["failures", ["l"]]]))
time.sleep(0.5)
""",
    ),
    (
        "forged_failures_while_loading",
        {"*": "raised: * is not there: loading the file raised an exception"},
        WIRE
        + """
import time
odd = ["a", "|b1", [3], 0]
failure = ["d", *([key, odd] for key in ("kind", "type", "message", "label", "line", "chunk"))]
reply = ["d", ["defined", ["l"]], ["failures", ["l", failure]]]
head = frame(["t", worker().request, "ok", reply], buffers=1, payload=3)
os.write(3, head[:20] + struct.pack("<Q", 3) + head[20:] + bytes(3))
time.sleep(0.5)
os._exit(0)
""",
    ),
    (
        "closes_the_wire",
        {"step": "raised: the code ended its own process (exit status 70)"},
        "import os\ndef step(x, h, a):\n    os.close(3)\n    return 7.25",
    ),
    (
        "closes_the_wire_and_stays",
        {"step": "raised: the code broke its connection to the grader"},
        "import os, time\ndef step(x, h, a):\n    os.close(3)\n    time.sleep(60)",
    ),
    (
        "puts_something_else_in_place_of_the_wire",
        {"step": "raised: *"},
        "import os\ndef step(x, h, a):\n    os.dup2(0, 3)\n    return 7.25",
    ),
    (
        "closes_its_output",
        {},
        """
import os
os.close(1)
os.close(2)
def step(x, h, a):
    print("nobody hears")
    return a * h + (1 - a) * x
""",
    ),
    (
        "an_exception_that_cannot_be_read",
        {"step": "raised: raised an exception at leaky.py, line 6"},
        """
class Liar(Exception):
    def __str__(self): raise SystemExit(0)
def step(x, h, a):
    raise Liar
""",
    ),
    (
        "an_exception_that_takes_for_ever_to_read",
        {"step": LATE},
        """
class Liar(Exception):
    def __str__(self):
        while True: pass
def step(x, h, a):
    raise Liar
""",
    ),
    (
        "a_class_without_a_name",
        {"step": "raised: *"},
        """
class Nameless(type):
    @property
    def __name__(self): raise SystemExit(0)
class Liar(Exception, metaclass=Nameless):
    pass
def step(x, h, a):
    raise Liar
""",
    ),
    (
        "an_exception_with_four_hundred_causes",
        {"step": "raised: raised ValueError at leaky.py, line 9"},
        """
def step(x, h, a):
    error = ValueError("0")
    for number in range(400):
        cause, error = error, ValueError("x" * 10_000 + str(number))
        error.__cause__ = cause
        error.__context__ = ExceptionGroup("group", [cause])
    raise error
""",
    ),
    (
        "breaks_what_the_worker_needs",
        {"step": "raised: *"},
        """
import builtins, json
def step(x, h, a):
    json.dumps = None
    builtins.isinstance = builtins.len = builtins.type = None
    return 7.25
""",
    ),
    (
        "noisy_and_right",
        {},
        """
import sys, warnings
for number in range(50_000): print("state", number)
def step(x, h, a):
    for number in range(50_000): print("step", number)
    for number in range(200): warnings.warn(f"step {number}")
    sys.stderr.write("\\x1b[2J\\u202e<script>\\n" * 100)
    return a * h + (1 - a) * x
""",
    ),
]
