"""Write benchmarks/results.md, and the table in README.md, from the results files.

    python benchmarks/report.py

The results files are benchmarks/results.json, which run.py writes, gpu.json, which gpu.py writes,
and one for each shipped model.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddpm_tutorial import PRETRAINED as MODELS
from ddpm_tutorial import write_atomically

HERE = Path(__file__).parent
ROOT = HERE.parent


def main() -> None:
    """Write the page, and the tables between marks in README.md."""
    write_atomically(HERE / "results.md", render().encode())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, table in tables_of_readme().items():
        start, end = marks(name)
        if readme.count(start) != 1 or readme.count(end) != 1:
            raise SystemExit(f"README.md must hold {start} and {end} once")
        before, _, rest = readme.partition(start)
        _, _, after = rest.partition(end)
        readme = f"{before}{start}\n{table}\n{end}{after}"
    write_atomically(ROOT / "README.md", readme.encode())


def marks(name: str) -> tuple[str, str]:
    """The comments in README.md between which the table of that name stands."""
    return f"<!-- {name}: written by benchmarks/report.py -->", f"<!-- end of {name} -->"


def tables_of_readme() -> dict[str, str]:
    """What stands in README.md between marks, by name."""
    tables = {"models": table_of_models(), "peers": table_of_peers(), "gpu": table_of_gpu()}
    return {name: table for name, table in tables.items() if table}


def load(name: str) -> dict[str, Any]:
    """The results file of that name; empty where nothing was measured yet."""
    path = HERE / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def table_of_models() -> str:
    """The shipped models side by side, as Markdown."""
    records = {name: record for name in MODELS if (record := load(name))}

    def row(words: str, cell: Callable[[dict[str, Any]], str]) -> list[str]:
        return [words, *(cell(record) for record in records.values())]

    def bits(name: str) -> Callable[[dict[str, Any]], str]:
        def cell(record: dict[str, Any]) -> str:
            estimate = record["bits_per_dim"][name]
            return f"{estimate['mean']:.3f} ± {estimate['standard_error']:.3f}"

        return cell

    return _table(
        ["", *(f"`{name}`" for name in records)],
        [
            row("bound, bits per dimension", bits("total")),
            row("its prior term", bits("prior")),
            row("its denoising terms", bits("denoising")),
            row("its reconstruction term", bits("reconstruction")),
            row("FID", lambda r: f"{r['samples']['fid']:.2f} (N = {r['samples']['samples']:,})"),
            row(
                "its floor, with as many real images", lambda r: f"{r['samples']['fid_floor']:.2f}"
            ),
            row(
                "samples nearer by pixels to a training image than 99 % of test images are",
                lambda r: f"{r['samples']['pixels']['copies']:.1%}",
            ),
        ],
    )


def table_of_peers() -> str:
    """This package beside its peers, as Markdown; empty where nothing was measured yet."""
    results = load("results")
    if "speed" not in results or "quality" not in results:
        return ""
    speed, quality = results["speed"]["contenders"], results["quality"]
    if not all("240" in quality["contenders"].get(name, {}) for name in speed):
        return ""  # the measurement is still running
    rows = []
    for name, row in speed.items():
        at = quality["contenders"][name]["240"]
        rows.append(
            [
                f"`{name}`",
                f"{row['training_images_per_second']:.0f}",
                f"{row['seconds_per_1000_evaluations']:.2f}",
                f"{at['fid']:.1f}",
            ]
        )
    head = [
        "package",
        "training, images/s",
        "seconds for one pass of the network over 1,000 images",
        "FID after 240 s",
    ]
    return _table(head, rows)


def table_of_gpu() -> str:
    """What a few seconds of a GPU buy, as Markdown; empty where nothing was measured yet."""
    quality = load("gpu").get("quality")
    return "" if quality is None else _quality_on_gpu(quality)


def _quality_on_gpu(quality: dict[str, Any]) -> str:
    rows = [
        [budget, f"{row['steps']:,}", f"{row['fid']:.2f}"]
        for budget, row in quality["cases"].items()
    ]
    return _table(["training", f"steps of {quality['batch']}", "FID"], rows)


def render() -> str:
    """The page, as Markdown."""
    parts = ["# Measured", INTRODUCTION]
    for name in MODELS:
        if record := load(name):
            parts += _model(name, record)
    results = load("results")
    if "speed" in results:
        parts += _speed(results["speed"])
    if "quality" in results:
        parts += _quality(results["quality"])
    if "overhead" in results:
        parts += _overhead(results["overhead"])
    if gpu := load("gpu"):
        parts += _gpu(gpu)
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """Every figure on this page was written by a program, from the files beside it. The
models that ship were measured by `ddpm-tutorial evaluate`, what a GPU does by `make bench-gpu`, and
everything else by `make bench`."""


def _model(model: str, record: dict[str, Any]) -> list[str]:
    bound, samples = record["bits_per_dim"], record["samples"]
    rows = [
        [name, f"{bound[name]['mean']:.4f}", f"{bound[name]['standard_error']:.4f}"]
        for name in ("total", "prior", "denoising", "reconstruction")
    ]
    rows[3:3] = [
        [f"denoising, t = {low}..{high}", f"{share['mean']:.4f}", f"{share['standard_error']:.4f}"]
        for low, high, share in bound["by_t"]
    ]
    nearest = [
        [
            words,
            f"{samples['pixels'][field]:{form}}",
            f"{samples['features'][field]:{form}}",
        ]
        for words, field, form in (
            ("median distance of the samples", "samples", ".3f"),
            ("median distance of the test images", "unseen", ".3f"),
            ("samples nearer than 99 % of the test images of their digit are", "copies", ".2%"),
        )
    ]
    return [
        f"## The shipped model `{model}`",
        f"The bound of {record['n']:,} test images, as a lossless code length, with its standard "
        f"error. Each image stands with {record['terms_per_image']} of its terms, at random t.",
        _table(["term", "bits per dimension", "standard error"], rows),
        f"{samples['samples']:,} samples ({record['sampler']}, {record['steps']} steps) beside "
        f"{samples['references']:,} test images. FID is the Frechet distance on the features of "
        f"the digit classifier that ships with the package; its floor is that of as many training "
        f"images, which the classifier was trained on.",
        _table(
            ["", "samples", "real images"],
            [
                ["FID", f"{samples['fid']:.3f}", f"{samples['fid_floor']:.3f} (floor)"],
                [
                    "mean confidence of the classifier",
                    f"{samples['confidence']:.3f}",
                    f"{samples['confidence_unseen']:.3f}",
                ],
            ],
        ),
        _table(
            ["read as", *map(str, range(10))],
            [["samples", *(f"{count:,}" for count in samples["classes"])]],
        ),
        _table(["nearest training image", "by pixels", "by features"], nearest),
        _measured_on(record["machine"], record["command"], record["seed"]),
    ]


def _speed(figures: dict[str, Any]) -> list[str]:
    contenders = figures["contenders"]
    ours = contenders["ddpm_tutorial"]
    rows = [
        [
            f"`{name}`",
            row["settings"],
            f"{row['weights'] / 1e6:.2f} M",
            f"{row['gflop_per_evaluation']:.2f}",
            f"{row['training_images_per_second']:.0f}",
            f"{ours['training_images_per_second'] / row['training_images_per_second']:.1f}",
            f"{row['seconds_per_1000_evaluations']:.2f}",
            f"{row['seconds_per_1000_evaluations'] / ours['seconds_per_1000_evaluations']:.1f}",
        ]
        for name, row in contenders.items()
    ]
    return [
        "## Speed",
        f"Training on batches of {figures['batch']}, and single evaluations of the network on "
        f"batches of {figures['batch_sampling']}, as in sampling. The contenders took turns; the "
        f"median of {figures['rounds']} rounds. The ratios say how many times as fast ours is. "
        f"Part of that is a smaller sum to do: the GFLOP are those of the matrix products and "
        f"convolutions of one evaluation for one image. Weights and images of the peers lie in "
        f"memory as their libraries put them.",
        _table(
            [
                "package",
                "network",
                "weights",
                "GFLOP an image",
                "training, images/s",
                "ratio",
                "seconds for one pass of the network over 1,000 images",
                "ratio",
            ],
            rows,
        ),
        _measured_on_part(figures),
    ]


def _quality(figures: dict[str, Any]) -> list[str]:
    budgets = sorted({int(b) for row in figures["contenders"].values() for b in row})
    rows = []
    for name, row in figures["contenders"].items():
        found = [row.get(str(budget)) for budget in budgets]
        cells = [f"{at['fid']:.2f} after {at['steps']:,} steps" if at else "" for at in found]
        rows.append([f"`{name}`", *cells])
    return [
        "## Quality after the same time",
        f"FID of models trained from nothing for the same wall-clock time, one run for each time: "
        f"N = {figures['side_by_side']:,} samples, 50 DDIM steps, beside {figures['references']:,} "
        f"test images. Smaller is better. The floor, of as many training images: "
        f"{figures['floor']:.2f}.",
        _table(["package", *(f"{budget} s" for budget in budgets)], rows),
        _measured_on_part(figures),
    ]


def _overhead(figures: dict[str, Any]) -> list[str]:
    rows = [
        ["a training step, over forward, backward and optimiser", f"{figures['training_step']:.1%}"]
    ]
    rows += [
        [f"sampler `{name}`, over its network evaluations", f"{value:.1%}"]
        for name, value in figures["samplers"].items()
    ]
    return [
        "## Overhead, and how near the machine's peak",
        _table(["what ours adds", "overhead"], rows),
        f"The best rate of a 2048 x 2048 matrix product on this machine is "
        f"{figures['peak_gflops']:,.0f} GFLOP/s. Training runs at "
        f"{figures['training_gflops']:,.0f} GFLOP/s, {figures['training_of_peak']:.0%} of that, "
        f"and sampling at {figures['sampling_gflops']:,.0f} GFLOP/s, "
        f"{figures['sampling_of_peak']:.0%}; counted are the matrix products and convolutions of "
        f"the bare network, over the time of the bare step or call.",
        _measured_on_part(figures),
    ]


def _gpu(figures: dict[str, Any]) -> list[str]:
    parts = ["## On a GPU"]
    if tests := figures.get("tests"):
        parts.append(f"The tests of the package on this device: {tests['summary']}.")
    if quality := figures.get("quality"):
        parts += [
            f"FID of models trained from nothing, one run for each time: N = "
            f"{quality['samples']:,} samples, {quality['sampling_steps']} DDIM steps. The floor, "
            f"of as many training images: {quality['floor']:.2f}.",
            _quality_on_gpu(quality),
        ]
    if speed := figures.get("training"):
        rows = [
            [
                name,
                f"{row['images_per_second']:,.0f}",
                f"{row['seconds_of_first_five_steps']:.1f}",
                # Only CUDA counts it.
                "-" if row["peak_memory_mib"] is None else f"{row['peak_memory_mib']:,}",
            ]
            for name, row in speed["cases"].items()
        ]
        head = ["training", "images/s", "seconds of the first five steps", "most memory, MiB"]
        parts += [
            f"Speed of training: the median of {speed['rounds']} rounds of {speed['steps']} steps.",
            _table(head, rows),
        ]
    if waits := figures.get("waiting"):
        rows = [
            [
                name,
                f"{row['milliseconds_a_step']:.1f}",
                f"{row['busy']:.0%}",
                f"{row['copies_to_the_device_in_a_step']:g}",
            ]
            for name, row in waits["cases"].items()
        ]
        head = ["a step", "ms", "device busy", "copies to the device"]
        parts += [
            f"What the device does meanwhile, from {waits['steps']} steps under the profiler, "
            f"which slows them down.",
            _table(head, rows),
        ]
    if sampling := figures.get("sampling"):
        parts.append(
            f"Sampling: {sampling['samples_per_second']:,.0f} images/s in "
            f"{sampling['sampling_steps']} DDIM steps."
        )
    for part, found in figures.items():
        machine = found["measured_on"]
        parts.append(
            f"{_measured_on(machine, f'python benchmarks/gpu.py {part}', 0)} "
            f"{machine['precision']}. {machine['date']}."
        )
    return parts


def _measured_on_part(figures: dict[str, Any]) -> str:
    machine = figures["measured_on"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        _measured_on(machine, machine["command"], machine["seed"])
        + f" {machine['precision']}. {versions}. {machine['date']}."
    )


def _measured_on(machine: dict[str, Any], command: str, seed: int) -> str:
    return (
        f"Command: `{command}`, seed {seed}. Machine: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['threads']} threads, accelerator: {machine['accelerator']}; Python "
        f"{machine['python']}, torch {machine['torch']}."
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, [":--" if index == 0 else "--:" for index in range(len(head))], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    main()
