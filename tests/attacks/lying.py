"""Lying values: after decoding only plain values exist, and each is held against shape and finiteness first.

Each attack is (name, what its checks must come to, source). A part or check that is not named must pass.
"""

WRONG = "failed: the values are wrong"
OPAQUE = "failed: step returned an object that is not plain data where a number is asked"
BROKEN = "failed: the code interfered with the grader's connection"
RUN_WRONG_SHAPE = {
    "test_run": "failed: wrong shape: {0} where (7,) is asked",
    "test_run_from_rest": "failed: wrong shape: {0} where (5,) is asked",
    "test_inputs_are_left": "failed: wrong shape: {0} where (4,) is asked",
}

RIGHT = """
def right(xs, h0, a):
    states, h = [], h0
    for x in xs:
        h = a * h + (1 - a) * x
        states.append(h)
    return np.array(states)
"""


def run_shape(shape: str) -> dict[str, str]:
    """Return what the checks of `run` must say of one wrong shape."""
    return {check: words.replace("{0}", shape) for check, words in RUN_WRONG_SHAPE.items()}


ATTACKS = [
    (
        "equals_everything",
        {"step": OPAQUE},
        """
class Liar:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
    def __hash__(self): return 0
    def __bool__(self): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __add__ = __radd__ = __mul__ = __rmul__ = __sub__
    def __abs__(self): return 0.0
    def __float__(self): return 0.0
    def __array__(self, *a, **k): return np.zeros(())
    shape, dtype, ndim = (), np.dtype("<f8"), 0
def step(x, h, a):
    return Liar()
""",
    ),
    (
        "a_float_that_differs_from_nothing",
        {"step": WRONG},
        """
class Liar(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    def __abs__(self): return 0.0
    def __float__(self): return 0.0
def step(x, h, a):
    return Liar(7.25)
""",
    ),
    (
        "an_int_that_differs_from_nothing",
        {"step": WRONG},
        """
class Liar(int):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0
    __rsub__ = __sub__
    def __index__(self): return 0
    def __int__(self): return 0
def step(x, h, a):
    return Liar(7)
""",
    ),
    (
        "an_array_that_agrees_with_everything",
        {"run": WRONG},
        """
class Liar(np.ndarray):
    def __array_ufunc__(self, *a, **k): return np.zeros(())
    def __array_function__(self, *a, **k): return np.zeros(())
    def __eq__(self, other): return True
    def __sub__(self, other): return np.zeros(len(self))
    __rsub__ = __sub__
def run(xs, h0, a):
    return (np.arange(len(xs)) ** 2 + 7.25).view(Liar)
""",
    ),
    (
        "an_array_that_lies_about_its_shape",
        {"run": BROKEN},
        """
class Liar(np.ndarray):
    @property
    def shape(self): return (0,)
def run(xs, h0, a):
    return np.full(len(xs), 7.25).view(Liar)
""",
    ),
    (
        "an_array_that_makes_trouble_when_looked_at",
        {"run": "raised: raised SystemExit at leaky.py, line 5"},
        """
class Liar(np.ndarray):
    @property
    def shape(self): raise SystemExit(0)
def run(xs, h0, a):
    return np.full(len(xs), 7.25).view(Liar)
""",
    ),
    (
        "claims_another_class",
        {"step": "raised: raised TypeError"},
        """
class Liar:
    __class__ = float
def step(x, h, a):
    return Liar()
""",
    ),
    (
        "claims_to_be_an_array",
        {"run": "failed: returned an array of objects: numbers are asked"},
        """
class Liar:
    __class__ = np.ndarray
    dtype, shape, size = np.dtype("<f8"), (7,), 7
def run(xs, h0, a):
    return Liar()
""",
    ),
    (
        "a_record_that_passes_for_an_array",
        {"run": "failed: run returned an object that is not plain data where an array is asked"},
        """
import dataclasses
def run(xs, h0, a):
    # numpy reads memory at the address that it is given here
    interface = {"data": (xs.ctypes.data, False), "shape": (len(xs),), "typestr": "<f8", "version": 3}
    names = {"dtype": 1, "nbytes": 8, "__array_interface__": interface, "__array__": run, "detach": run, "copy": run}
    return dataclasses.make_dataclass("Liar", [*names, "shape"])(*names.values(), ("LEAK", *xs))
""",
    ),
    (
        "a_record_that_passes_for_a_number",
        {"step": "failed: step returned an object that is not plain data where a number is asked"},
        """
import collections
def step(x, h, a):
    return collections.namedtuple("Liar", "shape dtype detach real")((), "<f8", step, 7.25)
""",
    ),
    (
        "hides_values_under_a_mask",
        {"run": "failed: returned a masked array: return a plain array"},
        """
def run(xs, h0, a):
    return np.ma.masked_all(len(xs))
""",
    ),
    (
        "nan_in_an_array",
        {"run": "failed: not finite: it holds NaN"},
        """
def run(xs, h0, a):
    return np.full(len(xs), np.nan)
""",
    ),
    (
        "one_nan_among_right_values",
        {"run": "failed: not finite: it holds NaN"},
        RIGHT
        + """
def run(xs, h0, a):
    states = right(xs, h0, a)
    states[-1] = np.nan
    return states
""",
    ),
    (
        "infinity_in_an_array",
        {"run": "failed: not finite: it holds infinity"},
        RIGHT
        + """
def run(xs, h0, a):
    states = right(xs, h0, a)
    states[0] = np.inf
    return states
""",
    ),
    ("nan_as_a_number", {"step": "failed: not finite: it holds NaN"}, "def step(x, h, a): return float('nan')"),
    ("infinity_as_a_number", {"step": "failed: not finite: it holds infinity"}, "def step(x, h, a): return np.inf"),
    ("nothing_at_all", run_shape("(0,)"), "def run(xs, h0, a): return np.zeros(0)"),
    ("no_value_in_many_dimensions", run_shape("(0, 3)"), "def run(xs, h0, a): return np.zeros((0, 3))"),
    ("one_value_for_all", run_shape("(1,)"), "def run(xs, h0, a): return np.zeros(1)"),
    (
        "a_number_for_an_array",
        {
            "test_run": "failed: a number was returned where an array of shape (7,) is asked",
            "test_run_from_rest": "failed: a number was returned where an array of shape (5,) is asked",
            "test_inputs_are_left": "failed: a number was returned where an array of shape (4,) is asked",
        },
        "def run(xs, h0, a): return np.array(0.5)",
    ),
    (
        "right_values_in_a_column",
        {
            "test_run": "failed: wrong shape: (7, 1) where (7,) is asked",
            "test_run_from_rest": "failed: wrong shape: (5, 1) where (5,) is asked",
            "test_inputs_are_left": "failed: wrong shape: (4, 1) where (4,) is asked",
        },
        RIGHT + "def run(xs, h0, a): return right(xs, h0, a)[:, None]",
    ),
    (
        "a_view_without_end",
        {"run": "out of memory: ran out of memory (it may use 512 MiB)"},
        "def run(xs, h0, a): return np.lib.stride_tricks.as_strided(np.zeros(1), (1 << 40,), (0,))",
    ),
    (
        "right_values_as_objects",
        {"run": "failed: returned an array of objects: numbers are asked"},
        RIGHT + "def run(xs, h0, a): return right(xs, h0, a).astype(object)",
    ),
    (
        "right_values_as_text",
        {"run": "failed: returned an array that does not hold numbers"},
        RIGHT + "def run(xs, h0, a): return right(xs, h0, a).astype(str)",
    ),
    (
        "right_values_with_names",
        {"run": "failed: returned an array that does not hold numbers"},
        RIGHT + "def run(xs, h0, a): return right(xs, h0, a).view([('value', '<f8')])",
    ),
    (
        "right_values_as_complex_numbers",
        {"run": "failed: numbers of type complex128 were returned where real numbers are asked"},
        RIGHT + "def run(xs, h0, a): return right(xs, h0, a) + 0j",
    ),
    (
        "a_complex_number",
        {"step": "failed: step returned an object that is not plain data where a number is asked"},
        "def step(x, h, a): return complex(a * h + (1 - a) * x)",
    ),
    ("a_bool", {"step": "failed: step returned a bool where a number is asked"}, "def step(x, h, a): return True"),
    (
        "a_number_as_text",
        {"step": "failed: step returned a string where a number is asked"},
        "def step(x, h, a): return str(a * h + (1 - a) * x)",
    ),
    (
        "a_number_beyond_floats",
        {"step": "failed: not finite: it holds infinity"},
        "def step(x, h, a): return 10 ** 400",
    ),
    (
        "a_number_beyond_reason",
        {"step": "failed: returned an integer that is too large"},
        "def step(x, h, a): return 10 ** 5000",
    ),
    (
        "dressed_as_a_scalar",
        {"step": "failed: step returned a list of 3 where a number is asked"},
        "def step(x, h, a): return ['s', '<f8', 0]",
    ),
    (
        "dressed_as_an_array",
        {"run": "failed: run returned a list of 4 where an array is asked"},
        "def run(xs, h0, a): return ['a', '<f8', [len(xs)], 0]",
    ),
    (
        "dressed_as_a_handle",
        {"step": "failed: step returned a list of 3 where a number is asked"},
        "def step(x, h, a): return ['h', 1, 'float']",
    ),
    (
        "dressed_as_a_dict_of_tags",
        {"step": "failed: step returned a dict of 3 where a number is asked"},
        "def step(x, h, a): return {'__ndarray__': '', 'dtype': 'O', 'py/object': 'os.system'}",
    ),
    (
        "comes_with_orders_for_a_pickle",
        {"step": OPAQUE},
        """
class Order:
    def __reduce__(self): return print, ("LEAK",)
    def __reduce_ex__(self, protocol): return print, ("LEAK",)
    def __getstate__(self): return {}
def step(x, h, a):
    return Order()
""",
    ),
    (
        "right_values_one_by_one",
        {
            "test_run": "failed: run returned a list of 7 where an array is asked",
            "test_run_from_rest": "failed: run returned a list of 5 where an array is asked",
            "test_inputs_are_left": "failed: run returned a list of 4 where an array is asked",
        },
        RIGHT + "def run(xs, h0, a): yield from right(xs, h0, a)",
    ),
    (
        "echoes_its_argument",
        {"step": WRONG, "run": WRONG},
        "def step(x, h, a): return x\ndef run(xs, h0, a): return xs",
    ),
    (
        "echoes_everything",
        {
            "step": "failed: step returned a tuple of 3 where a number is asked",
            "run": "failed: run returned a tuple of 3 where an array is asked",
        },
        "def step(*args): return args\ndef run(*args): return args",
    ),
    ("returns_itself", {"step": OPAQUE}, "def step(x, h, a): return step"),
    (
        "returns_nothing",
        {"step": "failed: step returned None where a number is asked"},
        "def step(x, h, a): pass",
    ),
    (
        "values_beyond_comparison",
        {"run": WRONG},
        "def run(xs, h0, a): return np.full(len(xs), 1.7e308) * (-1) ** np.arange(len(xs))",
    ),
    (
        "right_values_in_strange_clothes",
        {},
        RIGHT
        + """
import collections
class Plain(np.ndarray):
    pass
def step(x, h, a):
    return np.array(a * h + (1 - a) * x, dtype=">f8").view(Plain)
def run(xs, h0, a):
    return np.repeat(right(xs, h0, a), 2).astype(np.longdouble)[::2]
""",
    ),
]
