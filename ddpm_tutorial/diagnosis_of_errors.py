"""What an error says, with the line of the answer where it arose, and what to look for."""

import builtins
import difflib
import re
import traceback

#: What an error of Python's or torch's says, and what that mostly means.
ADVICE = {
    r"must match the size|size mismatch|shapes cannot be multiplied|expanded size|broadcast|"
    r"is invalid for input of size|number of dimensions": "these shapes do not fit each other: "
    "print the shape of each tensor in this line",
    r"numpy\(\) on Tensor that requires grad": "the gradient would end here: stay with torch",
    r"only one element tensors|Boolean value of Tensor|converted to Python scalars|"
    r"can't be converted|cannot be converted to Scalar": "a tensor of several entries stands where "
    "one number, or one yes or no, is needed: torch.where chooses for each entry",
    r"must be Tensor, not|'(?:int|float)' object has no attribute": "a plain number stands here "
    "where a tensor is needed",
    r"tensors used as indices|indices must be|only integer tensors": "what stands between square "
    "brackets has to be whole numbers, int64",
    r"out of range|out of bounds": "a table with T + 1 entries is indexed by 0 to T",
    r"required positional argument|positional arguments? but|unexpected keyword": "compare with "
    "the first line of the function that is called, and with what it is said to take",
    r"object is not callable": "brackets stand behind what is no function: is a * missing?",
    r"modified by an inplace operation|leaf Variable that requires grad": "an argument is changed "
    "in place: make a new tensor",
    r"expected scalar type|same dtype|expected .*dtype|but got (?:Double|Float|Long)": "two types "
    "meet that do not fit: convert one with .to",
    r"does not require grad": "the gradient was lost on the way here: was something detached, or "
    "made a plain number?",
    r"local variable .* where it is not associated": "it gets a value on some ways here only",
    r"maximum recursion depth": "the function calls itself without end",
}


def describe_error(error: BaseException, filename: str) -> str:
    """What an error says, with the line of the answer that it comes from, and what to look for.

    `filename` is that of the answer's code: the last line of it that was being executed is named.
    A NameError or an AttributeError says what was perhaps meant.
    """
    if isinstance(error, NotImplementedError) and not str(error):
        return "this part has not been answered"
    lines = [at for at in traceback.extract_tb(error.__traceback__) if at.filename == filename]
    said = str(error).strip().partition("\n")[0].rstrip(".") or "no message"
    advice = [words for sign, words in ADVICE.items() if re.search(sign, said)]
    if meant := _perhaps_meant(error):
        advice = [f"did you mean {meant}?"]
    said = ": ".join([said, *advice[:1]])
    if not lines:
        return said
    code = f", `{lines[-1].line}`" if lines[-1].line else ""
    return f"line {lines[-1].lineno} of your answer{code}: {said}"


def _perhaps_meant(error: BaseException) -> str | None:
    """The name that is closest to one that does not exist, where the error says which that is."""
    wanted, known = getattr(error, "name", None), set[str]()
    if isinstance(error, NameError) and (trace := error.__traceback__):
        while trace.tb_next:
            trace = trace.tb_next
        known = {*trace.tb_frame.f_locals, *trace.tb_frame.f_globals, *dir(builtins)}
    elif isinstance(error, AttributeError):
        known = set(dir(error.obj))
    close = difflib.get_close_matches(wanted or "", sorted(known), n=1, cutoff=0.65)
    return close[0] if close else None
