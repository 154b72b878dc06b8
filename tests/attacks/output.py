"""Output: what reaches a terminal, a page or a table is cut, printable, and means nothing there.

Each attack is (name, what its checks must come to, source). A part or check that is not named must pass.
"""

ATTACKS = [
    (
        "escape_sequences",
        {"step": "raised: raised ValueError at leaky.py, line 4"},
        """
def step(x, h, a):
    raise ValueError("\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\r\\n\\x00 LEAK " + "\\x08" * 400)
""",
    ),
    (
        "reversed_text",
        {"step": "raised: raised an exception at leaky.py, line 4"},
        """
def step(x, h, a):
    raise type("\\u202eLEAK\\u2066", (Exception,), {})("\\u202e\\u2066\\u200b\\ufeff LEAK")
""",
    ),
    (
        "markup",
        {"step": "raised: raised ValueError at leaky.py, line 4"},
        """
def step(x, h, a):
    raise ValueError("<script>alert('LEAK')</script> [link](javascript:LEAK) **LEAK** [red]LEAK[/red] `LEAK` |")
""",
    ),
    (
        "formulas",
        {"step": "raised: raised ValueError at leaky.py, line 4"},
        """
def step(x, h, a):
    raise ValueError("=cmd|' /C calc'!A0")
""",
    ),
    (
        "lone_surrogates",
        {"step": "raised: raised ValueError at leaky.py, line 5"},
        """
def step(x, h, a):
    print("\\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    raise ValueError("\\ud800\\udfff LEAK")
""",
    ),
    (
        "bytes_that_are_no_text",
        {"step": "failed: the values are wrong"},
        """
import os
def step(x, h, a):
    os.write(1, bytes(range(256)) * 100)
    return 7.25
""",
    ),
]
