"""The search and the index know the terms of the field."""

import re
from urllib.parse import quote_plus

import pytest
from browsing import WIDE
from playwright.sync_api import expect

TERMS = {
    "ELBO": "06-elbo",
    "evidence lower bound": "06-elbo",
    "forward process": "04-forward-process",
    "cosine schedule": "04-forward-process",
    "Tweedie": "05-reverse-process",
    "variational autoencoder": "02-vae",
    "posterior collapse": "02-vae",
    "DDIM": "11-fast-sampling",
    "DPM-Solver": "11-fast-sampling",
    "ancestral": "10-sampling",
    "Langevin": "12-scores-and-mcmc",
    "score matching": "12-scores-and-mcmc",
    "probability flow": "12-scores-and-mcmc",
    "U-Net": "08-network",
    "skip connection": "08-network",
    "FID": "13-evaluation",
    "precision and recall": "13-evaluation",
    "classifier-free guidance": "14-guidance-and-learned-variance",
    "learned variance": "14-guidance-and-learned-variance",
}


@pytest.mark.parametrize("term", TERMS)
def test_the_search_puts_first_the_page_that_explains_a_term(open_page, term):
    page = open_page(f"search.html?q={term}", WIDE)
    first = page.locator("#search-results li").first
    link = first.get_by_role("link").first
    expect(link).to_have_attribute("href", re.compile(rf"^{TERMS[term]}\.html"))
    said = first.locator("p.context").inner_text()
    assert "import" not in said
    assert "\\" not in said


QUESTIONS = {
    "formula for x_t from x_0": "04-forward-process.html#all-steps-at-once",
    "why are my samples grey?": "15-common-mistakes.html#find-your-symptom",
    "blurry digits": "15-common-mistakes.html#find-your-symptom",
    "DDIM how many steps": "11-fast-sampling.html#quality-against-evaluations-on-digits",
    "tilde beta": "notation.html#symbols",
    "\\bar alpha": "notation.html#symbols",
    "licence": "intro.html#licence-and-citation",
    "print as PDF": "intro.html#run-it",
    "grading": "assignments/INSTRUCTORS.html#from-clone-to-graded-class",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_search_answers_what_readers_ask(open_page, question):
    page = open_page(f"search.html?q={quote_plus(question)}", WIDE)
    first = page.locator("#search-results li").first.get_by_role("link").first
    address = re.sub(r"\?[^#]*", "", first.get_attribute("href"))
    assert re.sub(r"(#.*)\1", r"\1", address) == QUESTIONS[question]


@pytest.mark.parametrize("question", ["ELBO", "cosine schedule", "posterior variance", "exercises"])
def test_the_search_lists_a_page_once(open_page, question):
    page = open_page(f"search.html?q={quote_plus(question)}", WIDE)
    expect(page.locator("#search-results li").first).to_be_visible()
    expect(page.locator("#search-results .search-summary")).to_contain_text("found")
    links = page.locator("#search-results li > a").evaluate_all("(all) => all.map((a) => a.href)")
    pages = [re.sub(r"[?#].*", "", link) for link in links]
    assert len(pages) > 1
    assert len(pages) == len(set(pages))


def test_the_index_leads_to_the_terms(open_page):
    page = open_page("genindex.html", WIDE)
    for term, name in TERMS.items():
        link = page.locator("table.genindextable").get_by_role("link", name=term, exact=True)
        assert link.get_attribute("href").startswith(f"{name}.html#"), term
    for word in ("grey", "license", "x_t"):  # which the search knows
        expect(page.locator("table.genindextable").get_by_text(word, exact=True)).to_have_count(0)
