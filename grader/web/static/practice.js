// The practice page: reads a form, has marking.js judge it or shows the model answer, and tells the outcome.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const notice = document.getElementById("notice"), tally = document.getElementById("tally");
  const best = new Map();
  const SIGNS = { right: ["✓", "Right"], partial: ["◐", "Partly right"], wrong: ["✗", "Not right"], invalid: ["!", "Not an answer yet"], undecided: ["?", "Judge it yourself"] };

  const element = (tag, content, html = false) => {
    const made = document.createElement(tag);
    if (html) made.innerHTML = content; else made.textContent = content;
    return made;
  };

  function answer(form, item, name) {
    const response = Responses.of(form, item.kind, item.shape);
    let mark;
    if (response === null) mark = { status: "invalid", score: 0, feedback: [{ text: "There is no answer yet." }] };
    else if (item.key) mark = Marking.mark(item.type, response, item.key);
    else mark = { status: "undecided", score: 0, feedback: [] };
    const used = Number(form.dataset.hints ?? 0);
    const cost = item.costs.slice(0, used).reduce((a, b) => a + b, 0);
    if (cost && (mark.status === "right" || mark.status === "partial")) mark.score = Math.max(mark.score - cost, 0);
    show(form, item, mark, name);
  }

  function show(form, item, mark, name) {
    const box = form.querySelector(".outcome"), [sign, words] = SIGNS[mark.status];
    box.className = `outcome ${mark.status}`;
    box.replaceChildren();
    const title = element("h3", ` ${words}`), glyph = element("span", sign);
    glyph.ariaHidden = "true";
    title.prepend(glyph);
    box.append(title);
    if (mark.status === "partial" || (mark.status === "right" && mark.score < 1)) box.append(element("p", `${Math.round(100 * mark.score)} % of the point.`));
    for (const said of mark.feedback) box.append("html" in said ? element("p", said.html, true) : element("p", said.text));
    if (mark.status === "invalid") box.append(element("p", "It cost nothing: answer again."));
    else {
      const details = element("details", "");
      details.append(element("summary", "The answer, and why"), element("div", item.answer, true), element("div", item.explain, true));
      if (item.whys.length) {
        const list = element("ul", "");
        for (const [text, why] of item.whys) list.append(element("li", `<span class="option-text">${text}</span> ${why}`, true));
        details.append(list);
      }
      details.open = mark.status !== "wrong";
      box.append(details);
      if (mark.status === "undecided") judge(box, item, name);
      else keep(name, mark.score);
    }
    box.hidden = false;
    box.focus();
    box.scrollIntoView({ block: "nearest" });
  }

  function judge(box, item, name) {
    const group = element("fieldset", "");
    group.append(element("legend", "How does your answer compare?"));
    for (const [score, words] of [[1, "As good"], [0.5, "Partly"], [0, "Not at all"]]) {
      const button = element("button", words);
      button.type = "button";
      button.addEventListener("click", () => {
        keep(name, score);
        for (const one of group.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one === button));
        notice.textContent = `Judged by you: ${words.toLowerCase()}.`;
      });
      group.append(button);
    }
    box.append(group);
  }

  function keep(name, score) {
    best.set(name, Math.max(best.get(name) ?? 0, score));
    const total = [...best.values()].reduce((a, b) => a + b, 0);
    tally.textContent = `${Math.round(100 * total) / 100} points of ${best.size} answered, ${Object.keys(data).length} in all`;
  }

  function hint(form, item) {
    const used = Number(form.dataset.hints ?? 0), box = form.querySelector(".hints");
    if (used >= item.hints.length) { notice.textContent = "There is no more hint."; return; }
    form.dataset.hints = String(used + 1);
    box.hidden = false;
    const line = element("li", item.hints[used], true);
    line.tabIndex = -1;
    box.querySelector("ol").append(line);
    line.focus();
  }

  function other(form) {
    const forms = [...form.parentElement.querySelectorAll("form")], next = forms[(forms.indexOf(form) + 1) % forms.length];
    form.hidden = true;
    next.hidden = false;
    next.reset();
    next.querySelector(".outcome").hidden = true;
    form.parentElement.querySelector("h2").focus();
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target, act = event.submitter?.value ?? "answer";
    const name = form.closest("article").dataset.question, item = data[name][Number(form.dataset.variant)];
    if (act === "hint") hint(form, item);
    else if (act === "other") other(form);
    else if (Blocks.moves(event.submitter)) notice.textContent = Blocks.press(form.querySelector(".ordering"), event.submitter);
    else answer(form, item, name);
  });
})();
