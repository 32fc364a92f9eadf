"""The two runs of a submission: what is shown comes from a process that got no hidden input."""

import nbformat
from conftest import named, notebook
from grading.execute import Student, run_notebook
from grading.sandbox import Limits, StandIn

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
        *part("f6", "def f(x):\n    return (f5)(x)"),
    )[1::2]
    assert "the sum is off by one" in tests[0]
    assert "below zero it is not right" in tests[1]
    assert "the answer is 3 where 2 is right" in tests[2]
    assert "as I said" in tests[3]
    assert "this part has not been answered" in tests[4]
    assert "f5, which is used here, has not been answered" in tests[5]


def test_weights_come_over_as_values():
    answer = (
        "import torch\nlayer = torch.nn.Linear(2, 1)\ndef f(x):\n    return layer if x else len"
    )
    tests = graded(
        *part("f", answer, "assert f(1).state_dict()['weight'].shape == (1, 2)"),
        *part("g", answer, "g(0).state_dict()"),
    )[1::2]
    assert tests[0] == "[]"
    assert "has no attribute" in tests[1]


LOOKED_AT = """import torch
from ddpm_tutorial.coursework import Watched, check, examine, recorded, through_network
x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
examine(f, (x, y), [3.0, 16.0], gradients=[0, 1])"""
THROUGH = """import torch
from ddpm_tutorial.coursework import Watched, check, examine, recorded, through_network
network = Watched(lambda x_t, t: x_t * t, T=4, calls=1)
x, t = torch.tensor([1.0, 2.0]), torch.tensor([1, 4])
examine(f, (network, x, t), 8.5, gradients=[1])
check(through_network(f, x, t), [1.7, 2.5])
assert [len(call) for call in recorded(f, "helper", network, x, t)] == [1]"""


def test_what_a_function_is_is_looked_at_where_it_is():
    bodies = [
        ("return x**2 * y", LOOKED_AT),
        ("x *= x\n    return x * y", LOOKED_AT),
        ("return x.detach() * x * y", LOOKED_AT),
        ("return (x**2 * y).detach()", LOOKED_AT),
        ("import torch\n    return x**2 * y + torch.rand(2)", LOOKED_AT),
        ("z = x**2\n    return z * yy", LOOKED_AT),
        ("return (helper(network(x, t)) * x).mean()", THROUGH),
        ("return (helper(network(x, t.float())) * x).mean()", THROUGH),
        ("return (helper(network(x, t)).detach() * x).mean()", THROUGH),
    ]
    cells = []
    for k, (body, test) in enumerate(bodies):
        given = "x, y" if test == LOOKED_AT else "network, x, t"
        answer = f"def f{k}({given}):\n    {body}\ndef helper(y):\n    return y"
        cells += [named(answer, f"f{k}-answer", True)]
        cells += [named(test.replace("(f,", f"(f{k},"), f"f{k}", False, 1)]
    tests = graded(*cells)[1::2]
    assert tests[0] == "[]"
    assert "changes what it is given: work on a copy of argument 1" in tests[1]
    assert "only a part of the gradient reaches argument 1" in tests[2]
    assert "no gradient reaches argument 1" in tests[3]
    assert "gives another answer the second time" in tests[4]
    assert "line 3 of your answer, `return z * yy`" in tests[5]
    assert "did you mean y?" in tests[5]
    assert tests[6] == "[]"
    assert "asked with t of the type torch.float32" in tests[7]
    assert "no gradient reaches argument 1, the network" in tests[8]


def test_a_hint_is_folded_and_runs_nothing():
    test = "from ddpm_tutorial.coursework import check\ncheck(f(1), 2, {'<b>not</b> so': 3})"
    _, (error, hint) = (
        eval(each, {"nan": None}) for each in graded(*part("f", "def f(x):\n    return 3", test))
    )
    assert error["evalue"] == "the answer is 3 where 2 is right (entry 1 of 1, counted through)"
    folded = "<details><summary>A hint</summary>&lt;b&gt;not&lt;/b&gt; so</details>"
    assert hint["data"]["text/html"] == folded


def test_what_is_said_of_the_hidden_half_of_examine_has_no_numbers():
    hidden = (
        "### BEGIN HIDDEN TESTS\nexamine(f, [torch.tensor([571.0])], lambda x: x, gradients=[0])"
    )
    test = (
        "import torch\nfrom ddpm_tutorial.coursework import examine\n"
        f"examine(f, [torch.ones(1)], lambda x: x)\n{hidden}\n### END HIDDEN TESTS"
    )
    bodies = {
        "return x if x < 2 else x.detach()": "no gradient reaches an argument",
        "return x if x < 2 else x.zero_()": "the function changes what it is given: work on copies",
        "return x if x < 2 else x + x.shape": "TypeError: raised for other numbers",
        "return x if x < 2 else x + 1": "the answer is not right for other numbers",
        "return x if x < 2 else x.int()": "to be floats",
    }
    parts = [
        part(f"f{k}", f"def f(x):\n    {body}", test.replace("(f,", f"(f{k},"))
        for k, body in enumerate(bodies)
    ]
    tests = graded(*(cell for pair in parts for cell in pair))[1::2]
    for said, message in zip(tests, bodies.values(), strict=True):
        assert message in said
        assert "57" not in said


def test_for_which_other_arguments_an_answer_would_be_right_is_asked_in_the_second_run_only():
    test = (
        "import torch\nfrom ddpm_tutorial.coursework import examine\n"
        "x = torch.tensor([0.3, 0.9, 0.5])\nexamine(f, [x], x.sin())"
    )
    _, said = graded(*part("f", "def f(x):\n    return x.exp().sin()", test))
    assert "it would be right if argument 1 were replaced by its logarithm" in said
    first_run = Student(Limits(), ["coursework"])
    assert StandIn(first_run, {"name": "f"}).answers([[1.0], [2.0]]) == [None, None]
    assert first_run.sandbox is None  # no process was asked


def test_a_call_of_the_search_that_ends_the_process_leaves_what_was_found():
    test = (
        "import torch\nfrom ddpm_tutorial.coursework import examine\n"
        "x = torch.tensor([0.3, 0.9, 0.5])\nexamine(f, [x], x.sin())"
    )
    answer = (
        "import os\ndef f(x):\n"
        "    if abs(float(x[0]) - 0.3) > 1e-3:\n        os._exit(1)\n    return x.exp().sin()"
    )
    _, said, good, _ = graded(*part("f", answer, test), *part("g", "def f(x):\n    return x + 1"))
    assert "where 0.29552 is right" in said
    assert good  # the next part is graded as before


def test_what_assignments_import_is_there_in_the_students_process():
    names = "Known, Watched, WatchedLayer, check, examine, gradient, hint, recorded"
    (shown,) = graded(own(f"from ddpm_tutorial.coursework import {names}\nprint('all there')"))
    assert "all there" in shown


def test_for_which_arguments_a_hidden_test_fails_is_said_as_the_test_has_it():
    test = (
        "import torch\nfrom ddpm_tutorial.coursework import Known, examine\n"
        "examine(f, [torch.ones(2)], lambda x: x)\n### BEGIN HIDDEN TESTS\n"
        'one = Known(lambda x: x, case="for a single picture")\n'
        "examine(f, [torch.tensor([571.0])], one)\n### END HIDDEN TESTS"
    )
    bodies = ["return x if len(x) > 1 else x.exp()", "return x if len(x) > 1 else x.log()"]
    parts = [
        part(f"f{k}", f"def f(x):\n    {each}", test.replace("(f,", f"(f{k},"))
        for k, each in enumerate(bodies)
    ]
    for said in graded(*(cell for pair in parts for cell in pair))[1::2]:
        assert "it is right in the example, and is not for a single picture" in said
        assert "57" not in said
