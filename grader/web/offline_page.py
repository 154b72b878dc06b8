"""An offline form as one page: the questions of one student, no key, and a button that saves the answers as a file."""

from __future__ import annotations

from markupsafe import Markup

from grader.quiz.asking import view
from grader.quiz.offline import Form
from grader.web.forms import STATIC, controls, templates
from grader.web.practice import embedded, hashed

SCRIPTS = ("blocks.js", "responses.js", "form.js")


def form_page(form: Form, file: str) -> str:
    """Return a form as HTML that needs no network; `file` is what its answers are saved as."""
    views = [view(item) for item in form.items]
    asked = [controls(item, f"q{n}") for n, item in enumerate(form.items, 1)]
    style = (STATIC / "quiz.css").read_text(encoding="utf-8")
    script = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src '{hashed(script)}'; style-src '{hashed(style)}'; img-src data:; "
        "form-action 'none'; base-uri 'none'"
    )
    data = {
        "header": form.header(),
        "file": file,
        "questions": [{"kind": one.kind, "shape": list(one.shape), "starter": one.starter} for one in views],
    }
    return templates().get_template("form.html").render(
        form=form, views=views, asked=asked, file=file, policy=policy, style=Markup(style), script=Markup(script),
        data=Markup(embedded(data)),
    )  # fmt: skip
