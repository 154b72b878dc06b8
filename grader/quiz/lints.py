"""What makes a question a bad one although it can be read: its texts, its variants, and a bank as a whole."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from grader.quiz.answers import plain_term
from grader.quiz.arithmetic import ArithmeticProblem
from grader.quiz.findings import WARNING, Finding
from grader.quiz.kinds import Fault, kind_of
from grader.quiz.marks import shown
from grader.quiz.model import Bank, Item, Question
from grader.quiz.texts import commands, expand, fill, formulas, strange_places
from grader.quiz.types import choice, cloze, multi, numeric

#: TeX commands that every way of delivery can show
_TEX_WORDS = """
alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau
upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
frac dfrac tfrac sqrt sum prod int lim infty partial nabla cdot cdots ldots dots vdots ddots times odot otimes
oplus circ ast star pm mp div leq geq le ge neq ne ll gg approx equiv sim simeq propto in notin subset subseteq
cup cap setminus emptyset forall exists neg land lor to rightarrow leftarrow leftrightarrow Rightarrow Leftarrow
Leftrightarrow mapsto implies iff top bot intercal mid parallel perp prime ell Re Im hbar
left right big Big bigl bigr Bigl Bigr langle rangle lVert rVert lvert rvert Vert vert lfloor rfloor lceil rceil
hat tilde bar vec dot ddot widehat widetilde overline underline overbrace underbrace
mathbb mathbf mathcal mathfrak mathrm mathit mathsf mathtt boldsymbol text textbf textit textrm operatorname
sin cos tan tanh sinh cosh exp log ln min max arg argmax argmin det dim ker sup inf deg gcd Pr softmax
begin end quad qquad displaystyle limits nolimits underset overset stackrel binom tag mod bmod pmod
"""
TEX = frozenset(_TEX_WORDS.split())

#: banks with fewer choice questions are too small for a bias to be told from chance
ENOUGH = 12
UNLIKELY = 0.01
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]\(")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\d)")


def text_faults(question: Question) -> Iterator[Fault]:
    """Yield what is wrong with the texts of a question, in any of its variants."""
    spec = question.spec
    blanks = tuple(spec.fields) if isinstance(spec, cloze.Spec) else ()
    for loc, text in spec.texts():
        keep = blanks if loc == ("prompt",) else ()  # a blank stands in the prompt and nowhere else
        strange = strange_places(text, {*question.variants[0].values, *keep})
        for sentence in strange:
            yield loc, "placeholder", sentence
        if strange:
            continue
        yield from _markup(loc, text, question.macros)
        for variant in question.variants:
            try:
                fill(text, variant.values, keep)
            except ArithmeticProblem as problem:
                yield loc, "placeholder", f"{problem} (variant {variant.number})"
                break


def _markup(loc: tuple[str | int, ...], text: str, macros: Mapping[str, str]) -> Iterator[Fault]:
    if loc == ("code",):
        return
    plain = _CODE.sub("", text)
    if len(re.findall(r"(?<!\\)\$", plain)) % 2:
        yield loc, "dollar", "a formula is opened with $ but not closed (or a plain $ needs a backslash)"
        return
    for alt in _IMAGE.findall(plain):
        if not alt.strip():
            yield loc, "alt-text", "an image has no words for those who cannot see it: ![what it shows](...)"
    for formula in formulas(expand(plain, macros)):
        if formula.count("{") != formula.count("}"):
            yield loc, "braces", f"the braces of ${formula}$ do not match"
        for command in commands(formula):
            if command[1:] not in TEX:
                yield loc, "tex-command", f"{command} is no TeX command that is shown everywhere: add it to `macros`"


def variant_faults(question: Question) -> Iterator[Fault]:
    """Yield degenerate variants: equal parameters, a 0 or 1, the same key whatever the parameters."""
    spec = question.spec
    if not spec.params:
        return
    free = [name for name, one in spec.params.items() if one.derived is None]
    for variant in question.variants:
        numbers = {n: variant.values[n] for n in free if type(variant.values[n]) in (int, float)}
        for name, value in numbers.items():
            wide = spec.params[name].choice is None
            if wide and value in (0, 1):
                yield ("params", name), "degenerate", f"{name} is {value} in variant {variant.number}"
                return
        whole = {n: v for n, v in numbers.items() if isinstance(v, int) and v > 1 and not _few(spec.params[n])}
        if len(set(whole.values())) < len(whole):
            same = ", ".join(f"{n}={v}" for n, v in whole.items())
            said = (
                f"parameters are equal in variant {variant.number} ({same}): mixing them up is not noticed; add `where`"
            )
            yield ("params",), "degenerate", said
            return
    kind = kind_of(Item(question, question.variants[0]))
    keys = {json.dumps(kind.keys(Item(question, v))[0], sort_keys=True) for v in question.variants}
    blanks = tuple(spec.fields) if isinstance(spec, cloze.Spec) else ()
    views = {shown(Item(question, v), text, blanks) for v in question.variants for _, text in spec.texts()[:1]}
    if len(question.variants) > 1 and len(keys) == 1 and kind.KIND in ("text", "matrix") and not _raises(spec):
        yield ("params",), "same-key", "the key is the same in every variant"
    if len(views) < len(question.variants):
        used = json.dumps([text for _, text in spec.texts()])
        unused = [name for name in free if not re.search(rf"\{{\{{[^}}]*\b{re.escape(name)}\b", used)]
        derived = " ".join(str(one.derived) for one in spec.params.values() if one.derived is not None)
        unused = [name for name in unused if not re.search(rf"\b{re.escape(name)}\b", derived)]
        if unused:
            yield ("params", unused[0]), "unused", f"no text shows the parameter {unused[0]}"


def _raises(spec: object) -> bool:
    """Say whether the answer is the name of an exception, which parameters may leave alone."""
    return getattr(getattr(spec, "answer", None), "raises", None) is not None


def _few(spec: object) -> bool:
    """Say whether a parameter is a choice among few values, as a number of layers or of gates is."""
    found = getattr(spec, "choice", None)
    return found is not None and len(found) <= 3


def stem_faults(question: Question) -> Iterator[Fault]:
    """Yield keys that the prompt gives away."""
    spec = question.spec
    item = Item(question, question.variants[0])
    blanks = tuple(spec.fields) if isinstance(spec, cloze.Spec) else ()
    prompt = plain_term(re.sub(r"\{\{.*?\}\}", "", shown(item, question.prompt, blanks)))
    if isinstance(spec, choice.Spec):
        texts = {option.id: plain_term(shown(item, option.text)) for option in spec.options}
        key = next(option.id for option in spec.options if option.correct)
        others = [text for name, text in texts.items() if name != key]
        if len(texts[key]) > 3 and _says(prompt, texts[key]) and not any(_says(prompt, text) for text in others):
            yield ("prompt",), "answer-in-stem", "the prompt says the correct option, and none of the others"
    elif isinstance(spec, cloze.Spec):
        for name, one in spec.fields.items():
            if isinstance(one, cloze.TermBlank):
                for term in one.accept:
                    if len(plain_term(term)) > 3 and _says(prompt, plain_term(term)):
                        yield ("fields", name, "accept"), "answer-in-stem", f"the prompt says “{term}”"
    elif isinstance(spec, numeric.Spec):
        kind = kind_of(item)
        if all(
            str(kind.keys(Item(question, v))[0]) in _NUMBER.findall(fill(question.prompt, v.values))
            for v in question.variants
        ):
            yield ("prompt",), "answer-in-stem", "the prompt holds the key in every variant"


def _says(text: str, term: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(term)}(?!\w)", text) is not None


def bank_findings(bank: Bank) -> list[Finding]:
    """Return what only shows over the whole bank: keys in one place, keys that are the longest option, same prompts."""
    found: list[Finding] = []
    lines: dict[str, Question] = {}
    for question in bank.questions:
        plain = (
            question.type
            + " ".join(question.prompt.lower().split())
            + json.dumps([q for _, q in question.spec.texts()[2:]])
        )
        if plain in lines:
            said = f"this asks the same as '{lines[plain].id}'"
            found.append(question.places.finding(("prompt",), "same-prompt", said, severity=WARNING))
        lines.setdefault(plain, question)
    chosen = [(q, q.spec) for q in bank.questions if isinstance(q.spec, choice.Spec)]
    if len(chosen) >= ENOUGH:
        found += _position_bias(bank, [spec for _, spec in chosen])
        found += _length_bias(bank, chosen)
    return found


def _position_bias(bank: Bank, specs: Sequence[choice.Spec]) -> Iterator[Finding]:
    places = [next(n for n, option in enumerate(spec.options) if option.correct) for spec in specs]
    for place in sorted(set(places)):
        chance = sum(1 / len(spec.options) for spec in specs) / len(specs)
        count = places.count(place)
        if _tail(count, len(places), chance) < UNLIKELY / 4:
            said = (
                f"{count} of {len(places)} keys stand at place {place + 1}: formats that do not shuffle give them away"
            )
            yield bank.places.finding(("questions",), "key-position", said, severity=WARNING)


def _length_bias(bank: Bank, chosen: Sequence[tuple[Question, choice.Spec]]) -> Iterator[Finding]:
    longest = []
    for question, spec in chosen:
        lengths = {option.id: len(option.text) for option in spec.options}
        key = next(option.id for option in spec.options if option.correct)
        if lengths[key] > 1.1 * max(length for name, length in lengths.items() if name != key):
            longest.append(question.id)
    chance = sum(1 / len(spec.options) for _, spec in chosen) / len(chosen)
    if _tail(len(longest), len(chosen), chance) < UNLIKELY:
        said = f"the key is by far the longest option in {len(longest)} of {len(chosen)}: {', '.join(longest[:8])}"
        yield bank.places.finding(("questions",), "longest-is-key", said, severity=WARNING)


def _tail(count: int, total: int, chance: float) -> float:
    """Return the probability of at least `count` successes in `total` tries."""
    return math.fsum(math.comb(total, k) * chance**k * (1 - chance) ** (total - k) for k in range(count, total + 1))


def guess_score(bank: Bank) -> float:
    """Return the mean mark that blind guessing earns on a bank, in 0..1: only options can be guessed."""
    if not bank.questions:
        return 0.0
    total = 0.0
    for question in bank.questions:
        spec = question.spec
        if isinstance(spec, choice.Spec):
            total += 1 / len(spec.options)
        elif isinstance(spec, multi.Spec):
            total += 0.5 if spec.scoring == "each-answer" else 1 / 2 ** len(spec.options)
        elif question.type == "match":
            pairs = len(spec.pairs)  # type: ignore[attr-defined]
            total += 1 / (pairs + len(spec.extra))  # type: ignore[attr-defined]
    return total / len(bank.questions)
