"""The live views: each control by key, and what they say against the package."""

import itertools
import re
import time

import pytest
import torch
from browsing import BOOK, HEIGHT, PHONE, SMALL_PHONE, WIDE, script
from conftest import RULES, show
from playwright.sync_api import expect

from ddpm_tutorial import SCHEDULES, GaussianMixture, NoiseSchedule, p_reverse, sample_path

EXAMPLE = [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02]
# Each place of a view: its page, its name, and how many controls it has.
PLACES = [
    ("04-forward-process", "marginals", 7),
    ("04-forward-process", "schedules", 1),
    ("05-reverse-process", "stride", 3),
    ("05-reverse-process", "posterior", 2),
    ("06-elbo", "bound", 3),
    ("11-fast-sampling", "paths", 4),
    ("12-scores-and-mcmc", "langevin", 4),
    ("16-continuous-time-and-flow-matching", "flow", 2),
    ("16-continuous-time-and-flow-matching", "paths", 4),
    ("17-inverse-problems", "answers", 4),
    ("19-discrete-diffusion", "unmask", 3),
]
CHAPTERS = sorted({chapter for chapter, _, _ in PLACES})
BROKEN_RULES = """async (rules) => {
  const options = {runOnly: rules, rules: {"color-contrast": {enabled: false}}};
  const {violations} = await axe.run(".live", options);
  return violations.flatMap(({id, nodes}) => nodes.map(({html}) => `${id}: ${html.slice(0, 120)}`));
}"""
# The rest of a long page is looked at elsewhere, and takes its time.
ONLY_VIEWS = """
const others = "article section > *, #pst-back-to-top";
document.querySelectorAll(others).forEach((part) => {
  if (!part.matches(".live, section:has(.live)")) part.remove();
})"""
OUTSIDE = """[...document.querySelectorAll(".live *")].filter((part) =>
  part.getBoundingClientRect().right > part.closest(".live").getBoundingClientRect().right + 1
).map((part) => part.outerHTML.slice(0, 90))"""
CONTROLS = [(c, view, k) for c, view, count in PLACES for k in range(count)]


def bring(page, view):
    """The view, brought to the screen and loaded."""
    place = page.locator(f".live[data-view={view}]")
    place.scroll_into_view_if_needed()
    expect(place).to_have_class(re.compile("ready"))
    place.scroll_into_view_if_needed()
    return place


@pytest.fixture(scope="module")
def opened(new_context, server):
    """Each chapter's page, once; `errors` holds what its console said."""
    pages = {}

    def opened(chapter):
        if chapter not in pages:
            page = new_context(WIDE).new_page()
            page.errors = []
            page.on("console", lambda s: s.type == "error" and page.errors.append(s.text))
            page.on("pageerror", lambda error: page.errors.append(str(error)))
            page.goto(f"{server.address}{chapter}.html")
            pages[chapter] = page
        return pages[chapter]

    return opened


def said(place):
    """What a view says in its sentence and its table, without the values of its controls."""
    return place.locator(".reading").inner_text() + " ".join(
        place.locator("table").all_inner_texts()
    )


def pictures(place):
    """What a view draws, without the names that each drawing makes up for itself."""
    drawn = "(all) => all.map(({outerHTML}) => outerHTML).join()"
    return re.sub(r"clip-\w+", "", place.locator(".stage svg[role=img]").evaluate_all(drawn))


def spoken_value(control):
    """What a screen reader says of a slider, beside what is seen; the same of a choice."""
    slider = control.locator("input[type=range]")
    if not slider.count():
        return "", ""
    return slider.get_attribute("aria-valuetext"), control.locator(".value").inner_text()


def reading(place):
    """The sentence, with signs that float() reads."""
    return place.locator(".reading").inner_text().replace("−", "-").replace(",", "")


def put(place, label, value):
    """Sets a slider, as a drag would."""
    slider = place.get_by_label(label, exact=True)
    slider.evaluate(
        "(e, value) => { e.value = value; e.dispatchEvent(new Event('input', {bubbles: true})) }",
        value,
    )
    place.page.wait_for_timeout(100)


def test_every_place_in_the_book_is_tested():
    found = [
        (page.stem, view)
        for page in BOOK.glob("*.html")
        for view in re.findall(r'class="live" data-view="([\w-]+)"', page.read_text("utf-8"))
        if view not in ("complete", "digit", "race", "student")  # those with a model: live_*.py
    ]
    assert sorted(found) == sorted((chapter, view) for chapter, view, _ in PLACES)


@pytest.mark.parametrize(("chapter", "view", "number"), CONTROLS)
def test_a_key_moves_each_control_and_the_view_says_so(opened, chapter, view, number):
    place = bring(opened(chapter), view)
    place.get_by_role("button", name="Start again").click()
    if view == "langevin" and number:
        put(place, "steps taken", 200)  # at the start, its step size changes nothing
    controls = place.locator(".control")
    assert controls.count() == {v: n for c, v, n in PLACES if c == chapter}[view]
    control = controls.nth(number)
    chosen = control.locator("input:checked, input[type=range]")
    before, value = (said(place), pictures(place)), chosen.input_value()
    chosen.focus()
    for key, _ in itertools.product(["ArrowRight", "ArrowLeft"], range(3)):
        place.page.keyboard.press(key)
        place.page.wait_for_timeout(60)
        now = control.locator("input:checked, input[type=range]").input_value()
        if now != value and said(place) != before[0] and pictures(place) != before[1]:
            break
    else:
        pytest.fail(f"{control.inner_text()}: still {value}, or {before[0]}, or the same picture")
    one, other = spoken_value(control)
    assert one == other
    assert control.locator("input").first.evaluate("(e) => e.labels.length") >= 1
    place.get_by_role("button", name="Start again").click()
    expect(control.locator("input:checked, input[type=range]")).to_have_value(value)
    one, other = spoken_value(control)
    assert one == other


# A style of another view once gave a symbol in a sentence a line of its own.
IN_LINE = {"inline"}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_view_breaks_a_rule_or_widens_the_page(new_context, server, chapter):
    page, errors = new_context(WIDE).new_page(), []
    page.on("console", lambda s: s.type == "error" and errors.append(s.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{server.address}{chapter}.html")
    for view in [view for c, view, _ in PLACES if c == chapter]:
        bring(page, view)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(({id}) => id)")
    assert len(ids) == len(set(ids))
    symbols = page.locator(".live var")
    assert {one.evaluate("(e) => getComputedStyle(e).display") for one in symbols.all()} <= IN_LINE
    page.evaluate(ONLY_VIEWS)
    page.evaluate(script("axe/axe.min"))
    for width, theme in ((SMALL_PHONE, "light"), (PHONE, "dark"), (WIDE, "light")):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        show(page, theme)
        page.wait_for_timeout(300)
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.evaluate(script("pale")) == {}
        assert page.evaluate(BROKEN_RULES, RULES) == []
    assert errors == []
    assert server.failed == []


@pytest.mark.parametrize("name", ["cosine", "linear", "log-snr", "straight"])
def test_the_marginal_keeps_the_share_that_the_schedule_says(opened, name):
    place = bring(opened("04-forward-process"), "marginals")
    place.locator(f"input[value={name}]").check()
    put(place, "step t", 620)
    symbol, sentence = (place.locator(at).bounding_box() for at in (".reading .bar", ".reading"))
    assert symbol["width"] > 5
    assert sentence["x"] < symbol["x"] < sentence["x"] + sentence["width"] - symbol["width"]
    share = float(re.search(r"= ([\d.]+)% of the variance", reading(place))[1])
    assert share == pytest.approx(100 * float(SCHEDULES[name](1000).alpha_bar[620]), abs=0.051)


def test_the_posterior_is_that_of_the_package(opened):
    place = bring(opened("05-reverse-process"), "posterior")
    exact = GaussianMixture(NoiseSchedule.cosine(1000), *EXAMPLE)
    for x_t, t in ((-0.35, 180), (1.2, 700)):
        put(place, "x t", x_t)
        put(place, "step t", t)
        seen = exact(torch.tensor([[x_t]]).double(), torch.tensor([t]))
        guess, spread = re.search(
            r"\] = (-?[\d.]+) the standard deviation ([\d.]+)\.$", reading(place)
        ).groups()
        assert float(guess) == pytest.approx(float(seen.x0_hat), abs=6e-4)
        assert float(spread) == pytest.approx(float(seen.x0_variance) ** 0.5, abs=6e-3)


def test_the_misfit_of_a_stride_is_that_of_the_package(opened):
    place = bring(opened("05-reverse-process"), "stride")
    exact = GaussianMixture(NoiseSchedule.cosine(1000), *EXAMPLE)
    put(place, "step t", 260)
    put(place, "stride", 5)  # the sixth of the list: 50
    x_t, t, s = torch.tensor([[-0.1]]).double(), torch.tensor([260]), torch.tensor([210])
    mean, log_variance = p_reverse(exact, x_t, t, s)
    points = mean + (log_variance / 2).exp() * torch.linspace(-10, 10, 4001)[:, None]
    kept = exact.schedule.alpha_bar[260] / exact.schedule.alpha_bar[210]
    step = torch.distributions.Normal(kept.sqrt() * points, (1 - kept).sqrt())
    true = step.log_prob(x_t)[:, 0] + exact.log_prob(points, s.expand(len(points)))
    share = true.softmax(0)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(points)[:, 0]
    spacing = points[1, 0] - points[0, 0]
    misfit = float((share * (share.log() - spacing.log() - normal)).sum())
    assert float(re.search(r"by ([\d.]+) nats", reading(place))[1]) == pytest.approx(
        misfit, abs=6e-4
    )


@pytest.mark.parametrize(("number", "T"), [*enumerate([5, 10, 20, 50, 100, 300, 1000])])
def test_the_gap_is_that_of_the_chapter(opened, number, T):
    page = opened("06-elbo")
    place = bring(page, "bound")
    place.get_by_role("button", name="Start again").click()
    put(place, "number of steps T", number)
    printed = re.search(
        rf"two_humps(?:\n.*)*?\n *{T}((?: +[\d.]+){{4}})", page.inner_text("article")
    )
    if not printed:  # the chapter's table has some of them
        assert T in (10, 50, 300)
        return
    for choice, gap in zip(["tilde", "beta", "best", "true"], printed[1].split(), strict=True):
        place.locator(f"input[value={choice}]").check(force=True)
        page.wait_for_timeout(100)
        shown = float(re.search(r"lies ([\d.]+) nats", reading(place))[1])
        assert shown == pytest.approx(float(gap), abs=1.1e-4)  # two roundings


def test_samplers_end_where_those_of_the_package_do(opened):
    place = bring(opened("16-continuous-time-and-flow-matching"), "paths")
    put(place, "steps", 6)  # the seventh of the list: 8
    put(place, "x T", -1.15)
    exact = GaussianMixture(NoiseSchedule.cosine(1000), *EXAMPLE)
    rows = place.locator("tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows[:2]] == ["exact", "ancestral"]
    for name, row in zip(["ddim", "dpm++", "heun"], rows[2:], strict=True):
        *_, (_, _, end) = sample_path(exact, 1, name, 8, x_T=torch.tensor([[-1.15]]).double())
        assert float(row.replace("−", "-").split()[-2]) == pytest.approx(float(end), abs=6e-4)


def test_the_mean_slope_of_the_lines_is_the_velocity(opened):
    place = bring(opened("16-continuous-time-and-flow-matching"), "flow")
    exact = GaussianMixture(NoiseSchedule.straight(1000), *EXAMPLE)
    for u, z in ((0.2, -0.1), (0.75, 0.6)):
        put(place, "time u", u)
        put(place, "point z u", z)
        x_t = torch.tensor([[z]]).double() / (u**2 + (1 - u) ** 2) ** 0.5
        guess = exact(x_t, torch.tensor([round(1000 * u)])).x0_hat
        slope = float(
            re.search(
                r"is ν = (-?[\d.]+), and", place.locator(".reading").inner_text().replace("−", "-")
            )[1]
        )
        assert slope == pytest.approx((z - float(guess)) / u, abs=6e-3)


@pytest.mark.parametrize(("method", "share"), [("exact", 52), ("dps", 63), ("variance", 47)])
def test_answers_fall_where_those_of_the_chapter_do(opened, method, share):
    page = opened("17-inverse-problems")
    place = bring(page, "answers")
    place.get_by_role("button", name="Start again").click()
    place.locator(f"input[value={method}]").check(force=True)
    page.wait_for_timeout(300)
    exact, drawn = re.findall(r"(\d+)%", reading(place))
    assert int(exact) == 52  # the chapter prints 0.52
    assert int(drawn) == pytest.approx(share, abs=4.5)  # 4 standard errors of 2,000 draws


def test_two_pixels_are_equal_as_often_as_in_the_chapter(opened):
    place = bring(opened("19-discrete-diffusion"), "unmask")
    place.get_by_role("button", name="Start again").click()
    assert reading(place).endswith("those of the samples in 0.730.")  # 0.75 * 0.8 + 0.25 * 0.52
    put(place, "steps T", 0)  # the first of the list: 1
    assert reading(place).endswith("those of the samples in 0.520.")  # the chapter prints 0.52


def test_langevin_chains_lose_what_those_of_the_chapter_lose(opened):
    place = bring(opened("12-scores-and-mcmc"), "langevin")
    place.get_by_role("button", name="Start again").click()
    put(place, "steps taken", 300)
    share = int(re.search(r"(\d+)% of the 2000 chains", reading(place))[1])
    assert share == pytest.approx(26, abs=4)  # of the chapter's 10,000 chains; 4 standard errors
    assert reading(place).endswith("where 30% belong.")


def test_chains_play_and_rest_while_out_of_sight(opened):
    page = opened("12-scores-and-mcmc")
    place = bring(page, "langevin")
    place.get_by_role("button", name="Start again").click()
    steps = place.get_by_label("steps taken")
    place.get_by_role("button", name="Play").click()
    expect(steps).not_to_have_value("0")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(800)
    resting = steps.input_value()
    page.wait_for_timeout(1500)
    assert steps.input_value() == resting
    place.scroll_into_view_if_needed()
    expect(steps).not_to_have_value(resting)
    place.get_by_role("button", name="Pause").click()
    expect(place.get_by_role("button", name="Play")).to_be_visible()


# Notes when a slider's value changes, and whether the sentence was spoken meanwhile.
WATCH = """(place) => {
  window.beats = [];
  window.busy = [];
  const [slider] = place.querySelectorAll("input[type=range]");
  const [status] = place.querySelectorAll("[role=status]");
  const note = () => beats.push(performance.now());
  new MutationObserver(note).observe(slider, {attributeFilter: ["aria-valuetext"]});
  const heard = () => busy.push(status.getAttribute("aria-busy"));
  new MutationObserver(heard).observe(status, {attributeFilter: ["aria-busy"]});
}"""
GAPS = "beats.slice(1).map((beat, k) => beat - beats[k])"


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_chains_move_slowly_and_in_silence_where_less_motion_is_asked(new_context, server, motion):
    page = new_context(WIDE).new_page()
    page.emulate_media(reduced_motion=motion)
    page.goto(f"{server.address}12-scores-and-mcmc.html")
    place = bring(page, "langevin")
    page.wait_for_timeout(700)
    place.evaluate(WATCH)
    place.get_by_role("button", name="Play").click()
    page.wait_for_function("beats.length > 6")
    quickest = min(page.evaluate(GAPS))
    assert quickest > 550 if motion == "reduce" else quickest < 400
    assert "false" not in page.evaluate("busy")  # no sentence is spoken on the way
    place.get_by_role("button", name="Pause").click()
    expect(place.get_by_role("status")).to_have_attribute("aria-busy", "false")


def test_a_view_is_drawn_anew_for_another_width_and_another_theme(new_context, server):
    page = new_context(WIDE).new_page()
    page.goto(f"{server.address}04-forward-process.html")
    place = bring(page, "marginals")
    page.set_viewport_size({"width": PHONE, "height": HEIGHT})
    stage = place.locator(".stage").evaluate("(e) => Math.floor(e.clientWidth)")
    assert stage < PHONE
    expect(place.locator("svg").first).to_have_attribute("width", str(stage))
    shades = place.locator("image")
    show(page, "light")
    page.wait_for_timeout(300)
    light = shades.get_attribute("href")
    show(page, "dark")
    expect(shades).not_to_have_attribute("href", light)


def swipe(page, x, y, down):
    """A finger that goes down the screen from a point."""
    touch = page.context.new_cdp_session(page)

    def send(kind, *points):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    send("touchStart", {"x": x, "y": y})
    for part in range(1, 9):
        send("touchMove", {"x": x, "y": y + down * part / 8})
        page.wait_for_timeout(30)
    send("touchEnd")
    page.wait_for_timeout(200)


@pytest.mark.parametrize(("grip", "stays"), [(".handle.c1", True), (".title", False)])
def test_a_finger_on_a_point_moves_the_point_and_not_the_page(new_context, server, grip, stays):
    page = new_context(PHONE, has_touch=True, is_mobile=True).new_page()
    page.goto(f"{server.address}04-forward-process.html")
    place = bring(page, "marginals")
    place.evaluate("(e) => e.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(500)
    middle, scrolled = place.get_by_label("middle of the first hump"), page.evaluate("scrollY")
    box = place.locator(grip).bounding_box()
    swipe(page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 60)
    assert (page.evaluate("scrollY") == scrolled) is stays
    assert (float(middle.input_value()) < -1.3) is stays


def test_the_line_follows_a_drag_over_the_map(opened):
    page = opened("04-forward-process")
    place = bring(page, "marginals")
    place.get_by_role("button", name="Start again").click()
    sheet = place.locator(".sheet")
    sheet.evaluate("(e) => e.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(500)
    box = sheet.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 4, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, y, steps=4)
    page.mouse.up()
    at = float(place.get_by_label("step t", exact=True).input_value())
    assert at == pytest.approx(500, abs=9)


def test_chains_that_begin_elsewhere_are_seen_there(opened):
    place = bring(opened("12-scores-and-mcmc"), "langevin")
    place.get_by_role("button", name="Start again").click()
    put(place, "steps taken", 200)
    place.locator("input[value=right]").check(force=True)
    expect(place.locator(".reading")).to_contain_text("After 0 steps")
    assert " 0% of the 2000 chains" in reading(place)


def test_what_moves_is_spoken_when_it_has_come_to_rest(opened):
    place = bring(opened("05-reverse-process"), "posterior")
    spoken = place.get_by_role("status")
    put(place, "x t", 0.9)
    assert spoken.get_attribute("aria-busy") == "true"
    expect(spoken).to_have_attribute("aria-busy", "false")


def test_a_hump_is_dragged(opened):
    page = opened("04-forward-process")
    place = bring(page, "marginals")
    place.get_by_role("button", name="Start again").click()
    before = reading(place)
    knob = place.locator(".handle.c1 .knob")
    knob.scroll_into_view_if_needed()
    box = knob.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 20, steps=4)
    page.mouse.move(x, y + 40, steps=4)
    page.mouse.up()
    moved = float(place.get_by_label("middle of the first hump").input_value())
    assert -1.5 <= moved < -0.8
    page.wait_for_timeout(100)
    assert reading(place) != before


def test_views_work_from_a_file(new_context):
    page = new_context(PHONE).new_page()
    errors = []
    page.on("console", lambda s: s.type == "error" and errors.append(s.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((BOOK / "05-reverse-process.html").as_uri())
    for view in ("stride", "posterior"):
        assert "=" in reading(bring(page, view))
    assert errors == []


def test_a_view_is_fetched_only_when_it_comes_near(new_context, server):
    page = new_context(PHONE).new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.address}05-reverse-process.html")
    expect(page.locator(".live.awaited").first).to_be_attached()
    page.wait_for_timeout(1500)
    assert not [url for url in asked if re.search(r"live/(?!loader)", url)]
    bring(page, "posterior")
    assert [url for url in asked if "live/posterior.js" in url]
    assert all(url.startswith((server.address, "data:")) for url in asked)


def test_without_scripts_and_on_paper_stands_the_still_figure(new_context, server):
    page = new_context(WIDE, java_script_enabled=False).new_page()
    page.goto(f"{server.address}04-forward-process.html")
    for place in page.locator(".live").all():
        assert place.bounding_box()["height"] == 0
        # The figure that it moves is right above it, in the cell before.
        assert place.locator("xpath=preceding-sibling::div[1]//figure").count() == 1
    moving = new_context(WIDE).new_page()
    moving.goto(f"{server.address}04-forward-process.html")
    place = bring(moving, "marginals")
    moving.emulate_media(media="print")
    expect(place).to_be_hidden()


def test_a_view_answers_at_once(opened):
    page = opened("04-forward-process")
    place = bring(page, "marginals")
    slider = place.get_by_label("step t", exact=True)
    slider.focus()
    began = time.monotonic()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert time.monotonic() - began < 3


def test_the_scripts_are_small():
    sizes = {path.name: path.stat().st_size for path in (BOOK / "_static" / "live").glob("*.js")}
    assert len(sizes) > 7
    assert max(sizes.values()) < 40_000
    assert sizes["loader.js"] < 2_000
