"""Three samplers from one noise, on one clock: their steps beside Python's, and their keys."""

import itertools
import json
import re

import pytest
import torch
from browsing import CLOSE, HEARD, LIVE, PHONE, compressed
from playwright.sync_api import expect

from ddpm_tutorial import load_pretrained, q_posterior, sample_path

PAGE = "11-fast-sampling.html"
LANES = [(n, name) for n in (5, 10, 20) for name in ("ddpm", "ddim", "dpm++")]
DONE = re.compile("grey levels")
LOOKS = "[...document.querySelectorAll('.live .race canvas')].map((one) => one.toDataURL())"


@pytest.fixture
def race(visit, server):
    return visit(server.address + PAGE, name="race")


def paths_of(view):
    """What the page heard of each lane: its steps in turn."""
    told, heard = view.page.evaluate("told"), view.page.evaluate(HEARD)
    assert [(one["steps"], one["sampler"]) for one in told] == LANES
    heard, paths = iter(heard), [[] for _ in LANES]
    for tick in range(21):
        for (steps, _), path in zip(LANES, paths, strict=True):
            if tick * steps % 20 == 0:
                path.append(next(heard))
    assert next(heard, None) is None
    return paths


def tensor(numbers):
    return torch.tensor(numbers).view(1, 1, 28, 28)


def test_each_sampler_takes_the_steps_that_it_takes_in_python(race):
    assert [url for url in race.asked if "weights" in url] == []
    race.play.click()
    expect(race.reading).to_have_text(DONE)
    model = load_pretrained("mnist-labels")
    denoiser = model.denoiser(torch.tensor([model.num_classes]))  # it is told no label
    paths, ends = paths_of(race), []
    x_T = tensor(paths[0][0]["x_t"])
    for (steps, sampler), path in zip(LANES, paths, strict=True):
        assert [one["t"] for one in path] == [1000 - k * 1000 // steps for k in range(steps + 1)]
        assert torch.equal(tensor(path[0]["x_t"]), x_T)
        ends.append(tensor(path[-1]["x_t"]))
        if sampler != "ddpm":
            *_, (_, _, wanted) = sample_path(denoiser, 1, sampler, steps, x_T=x_T)
            assert float((ends[-1] - wanted).abs().max()) <= CLOSE
            continue
        for here, there in itertools.pairwise(path[:-1]):
            x_t, x0_hat, x_s = (tensor(n) for n in (here["x_t"], here["x0_hat"], there["x_t"]))
            t, s = torch.tensor([here["t"]]), torch.tensor([there["t"]])
            assert float((denoiser(x_t, t).x0_hat - x0_hat).abs().max()) <= CLOSE
            mean, variance = q_posterior(model.schedule, x0_hat, x_t, t, s)
            z = (x_s - mean) / variance.sqrt()
            assert float(z.square().mean()) == pytest.approx(1, abs=0.2)  # 4 standard errors

    apart = [127.5 * float((a - b).square().mean().sqrt()) for a, b in pairs(ends)]
    said = [int(number) for number in re.findall(r"\d+", tail(race))]
    assert said == pytest.approx(apart, abs=0.51)


def pairs(ends):
    """Row by row DPM-Solver++ and DDIM, then DDPM and DDIM."""
    return [(ends[3 * row + other], ends[3 * row + 1]) for other in (2, 0) for row in range(3)]


def tail(view):
    return view.reading.inner_text().split("DPM-Solver++ is")[1]


def test_the_steps_are_seen_as_they_come_and_all_can_be_pulled_back(race):
    race.page.evaluate(
        """() => {
          const input = document.querySelector(".live[data-view=race] .transport input");
          window.seen = [];
          new MutationObserver(() => seen.push(input.getAttribute("aria-valuetext"))).observe(
            input, {attributeFilter: ["aria-valuetext"]});
        }"""
    )
    race.play.click()
    expect(race.reading).to_have_text(DONE)
    assert list(dict.fromkeys(race.page.evaluate("seen"))) == [
        f"t = {t}" for t in range(1000, -1, -50)
    ]
    ends = race.page.evaluate(LOOKS)
    assert len(set(ends)) > 6
    race.step.press("ArrowLeft")
    expect(race.reading).to_contain_text("taken 4 of 5, 9 of 10 and 19 of 20 steps")
    race.step.press("Home")
    expect(race.reading).to_contain_text("taken 0 of 5,")
    assert len(set(race.page.evaluate(LOOKS))) == 1  # nine times the same noise
    count = race.page.evaluate("heard.length")
    race.step.press("End")
    expect(race.reading).to_have_text(DONE)
    assert race.page.evaluate(LOOKS) == ends
    assert race.page.evaluate("heard.length") == count == 3 * (5 + 10 + 20 + 3)


def test_each_control_by_key(visit, server):
    view = visit(server.address + PAGE, PHONE, name="race", reduced_motion="reduce")
    view.play.press("Space")
    expect(view.reading).to_have_text(DONE)
    expect(view.reading).to_have_attribute("aria-busy", "false")
    before, said = view.page.evaluate(LOOKS), view.reading.inner_text()
    view.step.press("ArrowLeft")
    x_t = view.page.evaluate(LOOKS)
    view.place.locator("input[value=x_t]").press("ArrowRight")
    expect(view.place.locator("input[value=x0_hat]")).to_be_checked()
    view.page.wait_for_function(
        f"(x_t) => JSON.stringify({LOOKS}[8]) !== x_t", arg=json.dumps(x_t[8])
    )
    assert len(set(view.page.evaluate(LOOKS)) & set(x_t)) == 0
    view.place.get_by_label("Noise that all start from").press("ArrowRight")
    view.page.wait_for_function("told.length === 18")
    assert {one["seed"] for one in view.page.evaluate("told.slice(9)")} == {6}
    expect(view.reading).to_have_text(DONE)
    assert view.reading.inner_text() != said
    label = view.place.locator(".race canvas").nth(4).get_attribute("aria-label")
    assert label == "DDIM with 10 evaluations: done"
    view.place.get_by_role("button", name="Start again").press("Enter")
    expect(view.reading).to_contain_text("Press Play")
    assert len(set(view.page.evaluate(LOOKS))) == 1 != len(set(before))


def test_two_views_of_a_page_share_one_model(race):
    race.play.click()
    expect(race.reading).to_have_text(DONE)
    digit = race.page.locator(".live[data-view=digit]")
    digit.scroll_into_view_if_needed()
    digit.locator("button.start").click()
    expect(digit.locator(".reading")).to_contain_text("nobody wrote")
    assert len([url for url in race.asked if "weights" in url]) == 1


def test_the_view_is_small():
    assert len(compressed(LIVE / "race.js")) <= 20_000
