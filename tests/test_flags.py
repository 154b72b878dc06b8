"""Forbidden names: what counts as a use, and what does not."""

import pytest

from grader.checking.flags import UNSCANNED, forbidden_uses, scan

RULES = ["nn.GRU", "torch.nn.functional.softmax", "eval", "scipy"]


@pytest.mark.parametrize(
    ("source", "rule", "line"),
    [
        ("import torch\nx = torch.nn.GRU(3, 4)", "nn.GRU", 2),
        ("import torch.nn as layers\n\nx = layers.GRU(3, 4)", "nn.GRU", 3),
        ("from torch import nn\nclass A(nn.GRU): pass", "nn.GRU", 2),
        ("from torch.nn import GRU as Mine", "nn.GRU", 1),
        ("import torch\nlayers = torch.nn\nx = layers.GRU", "nn.GRU", 3),
        ("from torch import nn\nx = getattr(nn, 'GRU')(3, 4)", "nn.GRU", 2),
        ("import torch.nn.functional as F\nF.softmax(x)", "torch.nn.functional.softmax", 2),
        ("x = eval('1')", "eval", 1),
        ("f = eval", "eval", 1),
        ("import scipy.special", "scipy", 1),
        ("from scipy import special", "scipy", 1),
    ],
)
def test_uses_are_found(source: str, rule: str, line: int) -> None:
    assert forbidden_uses([("work.py", source)], RULES) == (f"{rule} at work.py, line {line}",)
    assert scan([("work.py", source)], RULES) == (f"{rule} at work.py, line {line}",)


@pytest.mark.parametrize(
    "source",
    [
        "def eval(model): return model\nx = eval(3)",
        "eval = 3\nprint(eval)",
        "model.eval()",
        "import torch\nx = torch.nn.GRUCell",
        "# nn.GRU\nx = 'nn.GRU'",
        "def softmax(x): return x\ny = softmax(2)",
        "def run(eval): return eval",
        "this is no python",
    ],
)
def test_other_things_are_not(source: str) -> None:
    assert forbidden_uses([("work.py", source)], RULES) == ()


def test_a_source_that_the_parser_cannot_bear_is_said_to_be_unsearched() -> None:
    assert scan([("work.py", "(" * 150_000)], RULES) in ((UNSCANNED,), ())  # some parsers refuse it as a syntax error
    assert scan([("work.py", "-" * 500_000 + "1")], RULES) == (UNSCANNED,)
