"""The model that draws in the page: its numbers beside Python's, its weight, its keys."""

import json
import re

import pytest
import torch
from browsing import BOOK, CLOSE, HEARD, HEIGHT, LIVE, MEGA, PHONE, WIDE, compressed, script
from conftest import RULES, WITHOUT_LOOKS, show
from playwright.sync_api import expect

from ddpm_tutorial import load_pretrained, sample_path

ENGINE = BOOK.parent.parent / "book" / "_live" / "engine"
PAGES = ["intro", "10-sampling", "11-fast-sampling", "14-guidance-and-learned-variance"]
DRAWING = [*((page, "digit") for page in PAGES), ("11-fast-sampling", "race")]
DRAWING += [("17-inverse-problems", "complete"), ("18-few-steps", "student")]
DONE = re.compile("nobody wrote|Six answers|grey levels")


@pytest.fixture
def intro(visit, server):
    return visit(server.address + "intro.html")


def put(view, label, value):
    """Sets a slider, as a drag would."""
    view.place.get_by_label(label, exact=True).evaluate(
        "(e, value) => { e.value = value; e.dispatchEvent(new Event('input', {bubbles: true})) }",
        value,
    )


@pytest.mark.parametrize("name", PAGES)
def test_nothing_of_the_model_comes_before_it_is_asked_for(visit, server, name):
    view = visit(f"{server.address}{name}.html")
    view.page.wait_for_timeout(500)
    assert [url for url in view.asked if "weights" in url] == []
    assert view.page.evaluate("heard") == []
    expect(view.start).to_be_visible()


@pytest.mark.parametrize("where", ["http", "file"])
def test_a_digit_forms_and_no_request_leaves_the_machine(visit, server, where):
    view = visit((server.address if where == "http" else f"{BOOK.as_uri()}/") + "intro.html")
    view.start.click()
    expect(view.reading).to_have_text(DONE)
    here = (server.address, "blob:", "data:") if where == "http" else ("file:", "blob:", "data:")
    assert [url for url in view.asked if not url.startswith(here)] == []
    assert len([url for url in view.asked if "weights" in url]) == 1


def test_a_button_keeps_its_ground_under_the_mouse(intro):
    """Its words have the colour of the page, and could not be read on it."""
    intro.play.hover()
    ground = intro.play.evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert "/" not in ground, f"{ground} lets the page through"


def test_a_digit_takes_four_seconds_at_most(intro):
    intro.start.click()
    expect(intro.reading).to_have_text(DONE)
    spent = intro.page.evaluate("heard.map(({milliseconds}) => milliseconds)")
    assert len(spent) == 21
    assert sum(spent) < 4000


def test_all_of_it_is_light_enough():
    files = [*LIVE.glob("weights/mnist-labels.js"), LIVE / "digit.js", LIVE / "loader.js"]
    assert sum(len(compressed(file)) for file in files) <= 8 * MEGA
    assert len(compressed(LIVE / "digit.js")) <= 20_000


@pytest.mark.parametrize(
    ("sampler", "guidance"), [("ddim", 1.0), ("ddim", 0.0), ("dpm++", 3.0), ("heun", 0.5)]
)
def test_what_the_page_draws_is_what_python_draws(intro, sampler, guidance):
    put(intro, "Guidance w", guidance)
    intro.place.locator(f"input[value='{sampler}']").check(force=True)
    intro.start.click()
    expect(intro.reading).to_have_text(DONE)
    heard = intro.page.evaluate(HEARD)

    x_T = torch.tensor(heard[0]["x_t"]).view(1, 1, 28, 28)
    denoiser = load_pretrained("mnist-labels").denoiser(torch.tensor([7]), guidance)
    path = list(sample_path(denoiser, 1, sampler, 20, x_T=x_T))
    assert [here["t"] for here in heard] == [t for t, _, _ in path]
    for here, (t, x_t, x0_hat) in zip(heard, path, strict=True):
        for name, wanted in (("x_t", x_t), ("x0_hat", x0_hat)):
            difference = (torch.tensor(here[name]) - wanted.flatten()).abs().max()
            assert float(difference) <= CLOSE, (name, t)
    assert float((path[-1][1] - path[0][2]).abs().max()) > 0.5  # something was drawn


@pytest.mark.parametrize(("model", "compared"), [("mnist-labels", 30), ("mnist-one-step", 7)])
def test_the_engine_gives_the_written_numbers_in_a_browser(intro, model, compared):
    """As `node --test` does in Node: network, guidance, and samplers, with the noise given."""
    intro.page.route(
        "**/engine/*.js",
        lambda route: route.fulfill(
            path=ENGINE / route.request.url.rpartition("/")[2], content_type="text/javascript"
        ),
    )
    golden = json.loads((ENGINE / "golden.json").read_text(encoding="utf-8"))
    found = intro.page.evaluate(
        """async ([golden, model]) => {
          const {differences} = await import("./engine/check.js");
          const {fromBase64} = await import("./engine/safetensors.js");
          await new Promise((loaded) => {
            document.head.append(
              Object.assign(document.createElement("script"), {
                src: `_static/live/weights/${model}.js`,
                onload: loaded,
              }),
            );
          });
          return differences(golden, fromBase64(liveWeights[model]).buffer);
        }""",
        [golden[model], model],
    )
    assert len(found) == compared
    assert {name: far for name, far in found.items() if not far <= CLOSE} == {}


def watch(page):
    """Notes each t at which the page shows x_t."""
    page.evaluate(
        """() => {
          const name = document.querySelector(".live .pair figcaption");
          window.seen = [];
          new MutationObserver(() => {
            const t = name.textContent.match(/= (.*)/)[1];
            if (seen.at(-1) !== t) seen.push(t);
          }).observe(name, {childList: true, subtree: true, characterData: true});
        }"""
    )


def test_each_step_is_shown_as_it_comes(intro):
    watch(intro.page)
    intro.start.click()
    expect(intro.reading).to_have_text(DONE)
    assert intro.page.evaluate("seen")[-21:] == [str(t) for t in range(1000, -1, -50)]


def test_who_wants_no_motion_sees_the_digit_when_it_is_done(visit, server):
    view = visit(server.address + "intro.html", reduced_motion="reduce")
    look = "document.querySelector('.live .pair canvas').toDataURL()"
    view.page.evaluate(
        f"""() => {{
          window.looks = new Set();
          const look = () => {{ looks.add({look}); requestAnimationFrame(look); }};
          look();
        }}"""
    )
    view.start.click()
    expect(view.reading).to_have_text(DONE)
    assert view.page.evaluate("looks.size") == 2


def test_it_rests_while_it_is_out_of_sight(intro):
    intro.place.get_by_label("Steps", exact=True).press("End")
    intro.start.click()
    intro.page.wait_for_function("heard.length > 3")
    intro.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    intro.page.wait_for_timeout(500)
    count = intro.page.evaluate("heard.length")
    intro.page.wait_for_timeout(500)
    assert intro.page.evaluate("heard.length") == count < 200
    intro.place.scroll_into_view_if_needed()
    intro.page.wait_for_function("(count) => heard.length > count + 3", arg=count)


def test_play_pause_and_the_step_by_key(intro):
    page = intro.page
    intro.place.get_by_label("Steps", exact=True).press("End")  # long enough to be paused
    intro.start.press("Enter")
    expect(intro.play).to_be_focused()
    expect(intro.play).to_have_text("Pause")
    page.wait_for_function("heard.length > 3")
    page.keyboard.press("Space")
    expect(intro.play).to_have_text("Play")
    page.wait_for_timeout(300)
    stood = intro.step.input_value()
    page.wait_for_timeout(300)
    assert 0 < int(stood) < 200
    assert intro.step.input_value() == stood
    intro.step.press("ArrowLeft")
    expect(intro.step).to_have_value(str(int(stood) - 1))
    intro.step.press("Home")
    expect(intro.reading).to_contain_text("after 0 of 200 steps")
    assert intro.step.get_attribute("aria-valuetext") == "0 of 200"
    intro.place.get_by_label("Steps", exact=True).press("Home")
    expect(intro.reading).to_have_text(DONE)  # another number of steps draws anew
    watch(page)
    count = page.evaluate("heard.length")
    intro.play.press("Enter")  # from the noise again, with what is there
    page.wait_for_function("seen.length > 1")
    assert page.evaluate("seen") == ["1000", "0"]
    assert page.evaluate("heard.length") == count


@pytest.mark.parametrize(
    ("control", "key", "setting"),
    [
        ("input[value='7']", "ArrowRight", ("label", 8)),
        ("input[value='ddim']", "ArrowRight", ("sampler", "dpm++")),
        ("Guidance w", "ArrowRight", ("guidance", 1.5)),
        ("Steps", "ArrowLeft", ("steps", 10)),
        ("Noise that it starts from", "ArrowRight", ("seed", 2)),
    ],
)
def test_each_control_by_key_draws_what_it_says(visit, server, control, key, setting):
    view = visit(server.address + "intro.html", PHONE, reduced_motion="reduce")
    view.start.click()
    expect(view.reading).to_have_text(DONE)
    place = view.place
    found = place.locator(control) if "[" in control else place.get_by_label(control, exact=True)
    found.press(key)
    view.page.wait_for_function("told.length > 1")
    expect(view.reading).to_have_text(DONE)
    before, after = view.page.evaluate("told")
    name, value = setting
    assert after[name] == value != before[name]
    assert {k: v for k, v in before.items() if k != name} == {
        k: v for k, v in after.items() if k != name
    }
    expect(place.locator(".gallery li")).to_have_count(2)


@pytest.mark.parametrize(("page", "name"), DRAWING)
def test_a_view_that_has_drawn_breaks_no_rule(visit, server, page, name):
    view = visit(f"{server.address}{page}.html", name=name, reduced_motion="reduce")
    view.play.click()
    expect(view.reading).to_have_text(DONE)
    assert view.reading.get_attribute("role") == "status"
    expect(view.reading).to_have_attribute("aria-busy", "false")
    view.page.evaluate(script("axe/axe.min"))
    view.page.evaluate(WITHOUT_LOOKS)
    for width, theme in ((WIDE, "light"), (PHONE, "dark")):
        view.page.set_viewport_size({"width": width, "height": HEIGHT})
        show(view.page, theme)
        assert view.page.evaluate(script("violations"), RULES) == []
        assert view.page.evaluate(script("cut")) == []
        wide = view.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0


def test_it_says_so_where_the_model_cannot_come(intro):
    intro.page.route("**/weights/*", lambda route: route.abort())
    intro.start.click()
    expect(intro.reading).to_contain_text("cannot draw here")
    intro.page.unroute("**/weights/*")
    intro.play.click()
    expect(intro.reading).to_have_text(DONE)


def test_without_scripts_and_on_paper_the_still_figure_stands_alone(visit, browser, server):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(server.address + "intro.html")
    expect(page.locator(".live")).to_be_hidden()
    expect(page.locator("#fig-forming img")).to_be_visible()
    page.context.close()
    view = visit(server.address + "intro.html")
    view.page.emulate_media(media="print")
    expect(view.place).to_be_hidden()
