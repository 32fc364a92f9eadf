"""The two runs of a submission: what is shown comes from a process that got no hidden input."""

import nbformat
from conftest import named, notebook
from grading.execute import run_notebook

SECRET = "571"
TEST = f"""from ddpm_tutorial.coursework import check
check(f(1), 2)
### BEGIN HIDDEN TESTS
check(f({SECRET}), {SECRET} + 1, {{"the sum is off by one": {SECRET}}})
assert f(-1) == 0, "below zero it is not right"
### END HIDDEN TESTS"""
KEEPER = """kept = []
def f(x):
    kept.append(x)
    open("kept", "a").write(str(x) + " ")
    return x + 1"""


def graded(*cells):
    """Run answers, tests and the student's own cells; what was put out by each."""
    whole = notebook()
    whole.cells = list(cells)
    whole.metadata["grading"] = {"names": ["coursework"], "call_seconds": 20, "total_seconds": 99}
    run_notebook(whole)
    return [str(cell.outputs) for cell in whole.cells]


def part(name, answer, test=TEST):
    """An answer that defines f, under another name, and its test."""
    answer, test = (text.replace("f(", f"{name}(") for text in (answer, test))
    return named(answer, f"{name}-answer", True), named(test, name, False, 1)


own = nbformat.v4.new_code_cell


def test_what_a_hidden_test_asked_is_in_no_output_and_honest_outputs_are_there(capfd):
    shown = graded(
        *part("f", KEEPER),
        own("print('hello', kept)\nimport matplotlib.pyplot as plt\nplt.plot([f(1), 2])\nf(2)"),
        own("print(open('kept').read())"),
        *part(
            "g",
            "def f(x):\n    if '571' in str(kept): raise ValueError(str(kept))\n    return x",
            "assert f(1) == 1\nprint('printed by a test')",
        ),
    )
    _, test, cell, read, _, later = shown
    assert test == "[]"
    for what in ("hello []", "image/png", "'text/plain': '3'"):
        assert what in cell
    assert "1 2" in read
    assert "what it was asked before" in later
    assert SECRET not in str(shown)
    assert "printed" not in capfd.readouterr().out


TELLTALES = [
    "if x > 10: raise ValueError(str(x))\n    return x + 1",
    "if x > 10: raise type(f'n{x}', (Exception,), {})(x)\n    return x + 1",
    "return x + 1 if x < 10 else 7 * x",
    "import torch\n    return x + 1 if x < 10 else torch.zeros(0, x)",
    "return x + 1 if x < 10 else type(f'n{x}', (), {})()",
    "return x + 1 if x < 10 else [float(x), float('nan')]",
    "if x > 10: __import__('os')._exit(x % 256)\n    return x + 1",
]


def test_what_is_said_of_a_hidden_test_holds_no_input():
    parts = [part(f"f{k}", f"def f(x):\n    {body}") for k, body in enumerate(TELLTALES)]
    tests = graded(*(cell for pair in parts for cell in pair))[1::2]
    for said in tests:
        assert "'error'" in said
        for told in (571, 7 * 571, 571 % 256):
            assert str(told) not in said
    for said in tests[:6]:
        assert "for other numbers than those that the test shows" in said
    assert "the process ended" in tests[6]


def test_hints_are_shown_and_of_what_is_visible_all():
    tests = graded(
        *part("f1", "def f(x):\n    return x + (x < 10)"),
        *part("f2", "def f(x):\n    return abs(x + 1) + (x < 0)"),
        *part("f3", "def f(x):\n    return x + 2"),
        *part("f4", "def f(x):\n    raise ValueError('as I said')"),
        *part("f5", "def f(x):\n    raise NotImplementedError()"),
    )[1::2]
    assert "the sum is off by one" in tests[0]
    assert "below zero it is not right" in tests[1]
    assert "the answer is 3 where 2 is right" in tests[2]
    assert "as I said" in tests[3]
    assert "this part has not been answered" in tests[4]


def test_weights_and_changed_arguments_come_over_as_values():
    answer = (
        "import torch\nlayer = torch.nn.Linear(2, 1)\ndef f(x):\n    return layer if x else len"
    )
    tests = graded(
        *part("f", answer, "assert f(1).state_dict()['weight'].shape == (1, 2)"),
        *part("g", answer, "g(0).state_dict()"),
        *part(
            "h", "def f(x):\n    x.append(1)", "assert h.arguments_after([2]) == [[2]], 'changed'"
        ),
    )[1::2]
    assert tests[0] == "[]"
    assert "has no attribute" in tests[1]
    assert "changed" in tests[2]
