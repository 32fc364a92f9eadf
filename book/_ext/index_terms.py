"""The index: the field's terms, each with the section of the chapter that explains it.

The search puts these sections first. A term that its chapter does not name has no entry; the checks
in a browser miss it then. What readers type may stand nowhere in the section that answers it.
"""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

TERMS = {
    "01-denoise": ["noise predictor", "step index"],
    "02-vae": [
        "aggregate posterior",
        "bits per dimension",
        "decoder",
        "encoder",
        "Jensen's inequality",
        "Kullback-Leibler divergence",
        "latent",
        "posterior collapse",
        "prior",
        "reparameterisation",
        "variational autoencoder",
    ],
    "03-hierarchical-vae": ["hierarchical", "ladder"],
    "04-forward-process": [
        "cosine schedule",
        "forward process",
        "linear schedule",
        "marginal",
        "noise schedule",
        "signal-to-noise ratio",
    ],
    "05-reverse-process": ["best guess", "posterior mean", "Tweedie", "unavoidable part"],
    "06-elbo": ["ELBO", "evidence lower bound", "importance weight"],
    "08-network": [
        "attention",
        "group normalisation",
        "patch",
        "residual block",
        "skip connection",
        "transformer",
        "U-Net",
        "zero start",
    ],
    "09-training": [
        "AdamW",
        "bfloat16",
        "exponential moving average",
        "gradient clipping",
        "learning rate",
        "Muon",
        "stratified",
        "warm-up",
    ],
    "10-sampling": ["ancestral", "clipping", "reverse variance"],
    "11-fast-sampling": ["DDIM", "DPM-Solver", "interpolation", "second order", "trailing"],
    "12-scores-and-mcmc": [
        "annealed Langevin",
        "corrector",
        "Langevin",
        "Markov chain Monte Carlo",
        "Metropolis",
        "probability flow",
        "score",
        "score matching",
    ],
    "13-evaluation": [
        "class balance",
        "copies",
        "FID",
        "floor",
        "Fréchet distance",
        "nearest neighbour",
        "positive control",
        "precision and recall",
    ],
    "14-guidance-and-learned-variance": ["classifier-free guidance", "learned variance", "Min-SNR"],
    "16-continuous-time-and-flow-matching": [
        "Brownian motion",
        "EDM",
        "flow matching",
        "Fokker–Planck",
        "Heun",
        "mutual information",
        "rectified flow",
        "reverse-time SDE",
        "stochastic differential equation",
        "velocity",
    ],
    "17-inverse-problems": [
        "classifier guidance",
        "conjugate gradients",
        "deblurring",
        "diffusion posterior sampling",
        "effective sample size",
        "inpainting",
        "inverse problem",
        "RePaint",
        "sequential Monte Carlo",
        "super-resolution",
        "twisted diffusion sampler",
    ],
    "18-few-steps": [
        "consistency model",
        "distillation",
        "progressive distillation",
        "student",
        "teacher",
    ],
    "19-discrete-diffusion": [
        "absorbing state",
        "any-order",
        "autoregressive",
        "factorisation error",
        "masked diffusion",
    ],
    "20-scaling-up": [
        "activation checkpointing",
        "data parallel",
        "diffusion language model",
        "gradient accumulation",
        "latent diffusion",
        "reinforcement learning",
        "text conditioning",
    ],
}

SOUGHT = {
    "intro": {
        "The map": ["prerequisites", "reading time"],
        "Run it": ["Colab", "install", "JupyterLab", "PDF", "print"],
        "Licence and citation": ["citation", "cite", "licence", "license"],
    },
    "04-forward-process": {"All steps at once": ["x_t"]},
    "07-kl-terms": {"The posterior": ["posterior variance"]},
    "11-fast-sampling": {
        "A family of steps back": ["DDIM derivation"],
        "Quality against evaluations, on digits": ["how many steps", "number of steps"],
    },
    "15-common-mistakes": {
        "Find your symptom": ["blurred", "blurry", "debugging", "grain", "grainy", "gray", "grey"]
    },
    "16-continuous-time-and-flow-matching": {
        "How steps are spaced": ["Karras", "spacing"],
        "Many ways back": ["Anderson", "SDE"],
    },
    "assignments/INSTRUCTORS": {
        "From clone to graded class": ["grade", "grading", "nbgrader"],
        "A class from Canvas or Moodle": ["Canvas", "Moodle", "roster"],
        "More time for single students": ["extension", "late days"],
    },
    "teaching": {
        "Three plans": ["course plan", "syllabus"],
        "Figures for slides": ["slides"],
        "What students can do afterwards": ["learning goals"],
    },
    "notation": {"Symbols": ["alpha bar", "alpha_bar", "beta tilde", "notation", "symbol"]},
}


# Words that readers type, of which the index has a better one.
UNLISTED = {
    *("alpha_bar", "blurry", "cite", "DDIM derivation", "grade", "grain", "grainy", "gray", "grey"),
    *("how many steps", "license", "x_t"),
}


def pattern(term: str) -> re.Pattern[str]:
    """The term as the text may print it: with other dashes and signs, a large first letter."""
    loose = re.escape(term).replace("\\-", "[-–\\s]").replace("'", "['’]").replace("\\ ", "\\s")
    return re.compile(rf"\b{loose}", re.IGNORECASE)


class IndexTerms(SphinxTransform):
    """Adds the entries to a page when it is read, before Sphinx collects them."""

    default_priority = 840

    def apply(self, **_: Any) -> None:
        """Called by Sphinx."""
        # An exercise is a section within a box, and its id does not reach the page.
        sections = [
            one
            for one in self.document.findall(nodes.section)
            if isinstance(one.parent, nodes.section | nodes.document)
        ]
        for term in TERMS.get(self.env.docname, []):
            wanted = pattern(term)
            titled = (one for one in sections[1:] if wanted.search(one[0].astext()))
            named = (
                one
                for one in sections
                for child in one.children
                if not isinstance(child, nodes.section | nodes.container)
                and wanted.search(child.astext())
            )
            section = next(titled, None) or next(named, None)
            if section:
                entry = ("single", term, section["ids"][0], "main", None)
                section.insert(1, addnodes.index(entries=[entry]))
        titles = {one[0].astext(): one for one in sections}
        for title, words in SOUGHT.get(self.env.docname, {}).items():
            entries = [("single", word, titles[title]["ids"][0], "main", None) for word in words]
            titles[title].insert(1, addnodes.index(entries=entries))


def leave_out(_: Sphinx, page: str, __: str, context: dict[str, Any], ___: nodes.document) -> None:
    """Take the words that are only for the search out of the printed index."""
    if page == "genindex":
        groups = [
            (letter, [one for one in entries if one[0] not in UNLISTED])
            for letter, entries in context["genindexentries"]
        ]
        context["genindexentries"] = [group for group in groups if group[1]]
        context["genindexcounts"] = [len(entries) for _, entries in context["genindexentries"]]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_transform(IndexTerms)
    app.connect("html-page-context", leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
