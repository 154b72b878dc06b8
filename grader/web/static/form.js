// An offline form: keeps what is filled in, and saves it as a file to be handed in. It knows no key and marks nothing.
"use strict";

(() => {
  const form = JSON.parse(document.getElementById("form").textContent);
  const notice = document.getElementById("notice"), tally = document.getElementById("tally");
  const sheets = [...document.querySelectorAll("form.question")];
  const own = /^(?:act|mover|after)$/, store = `unrolled form ${form.header.form}`;
  let saved = true;

  // blocks stand in some order from the beginning: it is an answer once it was touched, or taken as it is
  const taken = (sheet) => Boolean(sheet.dataset.taken);
  function answerOf(sheet) {
    const { kind, shape, starter } = form.questions[Number(sheet.dataset.number)];
    if (kind === "order" && !taken(sheet)) return null;
    const response = Responses.of(sheet, kind, shape);
    return kind === "code" && response?.trim() === starter.trim() ? null : response;
  }

  function count() {
    let answered = 0;
    for (const sheet of sheets) {
      const there = answerOf(sheet) !== null;
      answered += there;
      sheet.querySelector(".state").textContent = there ? "● Answered" : "○ No answer yet";
    }
    tally.textContent = `${answered} of ${sheets.length} answered${saved ? "" : ", not saved in a file yet"}`;
    return answered;
  }

  // --- drafts: a reload, or a browser that is closed, loses nothing ------------------------------------------------

  const fields = (sheet) => [...new FormData(sheet)].filter(([key]) => !own.test(key));
  function keep() {
    saved = false;
    try {
      localStorage.setItem(store, JSON.stringify(sheets.map((sheet) => ({ fields: fields(sheet), taken: taken(sheet) }))));
    } catch { /* a full or forbidden store: what is filled in is still on the page, and can be saved */ }
    count();
  }

  function fill(sheet, kept) {
    for (const input of sheet.querySelectorAll("input[type=radio], input[type=checkbox]")) {
      input.checked = kept.fields.some(([key, value]) => key === input.name && value === input.value);
    }
    for (const field of sheet.querySelectorAll("input[type=text], textarea, select")) {
      const found = kept.fields.find(([key]) => key === field.name);
      if (found && !own.test(field.name)) field.value = found[1];
    }
    const order = sheet.querySelector(".ordering"), of = (name) => kept.fields.filter(([key]) => key === name).map(([, value]) => value);
    if (order) Blocks.restore(order, of("order"), of("out"));
    if (kept.taken) sheet.dataset.taken = "yes";
  }

  function recall() {
    try {
      const kept = JSON.parse(localStorage.getItem(store));
      if (Array.isArray(kept) && kept.length === sheets.length) sheets.forEach((sheet, n) => fill(sheet, kept[n]));
    } catch { /* nothing was kept, or it cannot be read: the page is as it was handed out */ }
  }

  // --- the file ------------------------------------------------------------------------------------------------------

  function save() {
    const data = { ...form.header, answers: sheets.map(answerOf), saved: new Date().toISOString() };
    const url = URL.createObjectURL(new Blob([`${JSON.stringify(data, null, 1)}\n`], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = form.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    saved = true;
    const answered = count(), open = sheets.length - answered;
    notice.textContent = `Saved as ${form.file}${open ? `, ${open} of ${sheets.length} without an answer` : ""}. Hand in this file.`;
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    const sheet = event.target, button = event.submitter;
    if (button?.value === "take") {
      sheet.dataset.taken = "yes";
      notice.textContent = "This order is your answer.";
      keep();
    } else if (Blocks.moves(button)) {
      notice.textContent = Blocks.press(sheet.querySelector(".ordering"), button);
      sheet.dataset.taken = "yes";
      keep();
    }
  });
  for (const name of ["input", "change"]) document.addEventListener(name, keep);
  for (const button of document.querySelectorAll("button.save")) button.addEventListener("click", save);
  addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });

  recall();
  count();
})();
