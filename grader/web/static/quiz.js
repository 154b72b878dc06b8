// Comfort for the served quiz, which works without it: answers go out without a new page and are sent again when
// the connection is lost (the server keeps each try once), drafts survive a reload, blocks move at once, time is shown.
// It knows no key and marks nothing.
"use strict";

(() => {
  const notice = document.getElementById("notice");
  let warned = false;

  const say = (text) => { if (notice.textContent !== text) notice.textContent = text; };
  const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

  // --- sending, and sending again -------------------------------------------------------------------------------

  async function send(form, button) {
    const fields = new URLSearchParams(new FormData(form));
    if (button?.name) fields.append(button.name, button.value);
    const url = form.getAttribute("action");
    for (let tried = 0; ; tried += 1) {
      let answer = null;
      try {
        answer = await fetch(url, {
          method: "POST", body: fields, credentials: "same-origin", headers: { Accept: "text/html" },
          signal: AbortSignal.timeout(60000),
        });
        // 5xx: the server starts again, or a proxy finds it away; what was kept is not kept twice
        if (answer.status < 500) return show(await answer.text(), answer.url);
      } catch (problem) {
        if (!(problem instanceof TypeError || problem instanceof DOMException)) throw problem;
      }
      if (answer && tried >= 5) return show(await answer.text(), answer.url);
      say(`The connection is lost. Your answer is kept on this page and sent again (try ${tried + 2}).`);
      await pause(Math.min(500 * 2 ** tried, 8000) * (0.75 + Math.random() / 2));
    }
  }

  function show(html, url) {
    const page = new DOMParser().parseFromString(html, "text/html");
    // the head tells who is here, which changes when one comes in
    document.querySelector("header").replaceWith(document.adoptNode(page.querySelector("header")));
    document.getElementById("main").replaceWith(document.adoptNode(page.getElementById("main")));
    document.title = page.title;
    const path = new URL(url).pathname;
    if (path !== location.pathname) history.pushState(null, "", path);
    say("");
    ready();
    focusOn(document.querySelector("[data-focus]") ?? document.getElementById("heading"));
  }

  function focusOn(element) {
    if (!element) return;
    if (!element.hasAttribute("tabindex") && !/^(?:A|BUTTON|INPUT|SELECT|TEXTAREA)$/.test(element.tagName)) element.tabIndex = -1;
    element.focus();
    element.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (form.method !== "post") return;
    event.preventDefault();
    const order = form.querySelector(".ordering");
    if (order && Blocks.moves(button)) { say(Blocks.press(order, button)); remember(form); return; }
    if (form.dataset.sending) return;
    form.dataset.sending = "yes";
    form.setAttribute("aria-busy", "true");
    if (form.classList.contains("question") && (!button || button.value === "answer")) forget(form);
    send(form, button).finally(() => { delete form.dataset.sending; form.removeAttribute("aria-busy"); });
  });
  addEventListener("popstate", () => location.reload());

  // --- drafts ---------------------------------------------------------------------------------------------------

  const name = (form) => `draft ${form.getAttribute("action")} ${form.dataset.draft}`;
  const own = /^(?:token|attempt|hints|skips|act|mover|after)$/;

  function remember(form) {
    if (!form?.dataset.draft) return;
    try {
      sessionStorage.setItem(name(form), JSON.stringify([...new FormData(form)].filter(([key]) => !own.test(key))));
    } catch { /* a full or forbidden store: the draft is only lost by a reload */ }
  }
  function forget(form) { try { sessionStorage.removeItem(name(form)); } catch { /* as above */ } }

  function recall(form) {
    let kept = null;
    try { kept = JSON.parse(sessionStorage.getItem(name(form))); } catch { return; }
    if (!kept || form.querySelector("fieldset.frozen")) return;
    for (const input of form.querySelectorAll("input[type=radio], input[type=checkbox]")) {
      if (kept.some(([key]) => key === input.name)) input.checked = kept.some(([key, value]) => key === input.name && value === input.value);
    }
    for (const [key, value] of kept) {
      const field = form.querySelector(`[name="${CSS.escape(key)}"]:not([type=radio]):not([type=checkbox]):not([type=hidden])`);
      if (field) field.value = value;
    }
    const order = form.querySelector(".ordering"), of = (name) => kept.filter(([key]) => key === name).map(([, value]) => value);
    if (order) Blocks.restore(order, of("order"), of("out"));
  }
  document.addEventListener("input", (event) => remember(event.target.form));

  // --- time -----------------------------------------------------------------------------------------------------

  let until = null;
  function tick() {
    const timer = document.getElementById("timer");
    if (!timer || until === null) return;
    const left = Math.max(0, Math.round((until - performance.now()) / 1000));
    timer.textContent = `Time left: ${Math.floor(left / 60)} min ${left % 60} s`;
    if (left === 60 && !warned) { warned = true; say("One minute is left."); }
    if (left === 0) {
      until = null;
      const form = document.querySelector("form.question");
      const answer = form?.querySelector("button.main[value=answer]");
      say("The time is up.");
      // what is filled in goes out with the bell; the server takes it for a few seconds more
      (answer && filled(form) ? send(form, answer) : Promise.resolve()).finally(() => location.assign("/result"));
    }
  }
  const filled = (form) => [...new FormData(form)].some(([key, value]) => !own.test(key) && key !== "order" && key !== "out" && value);

  function ready() {
    const timer = document.getElementById("timer");
    until = timer ? performance.now() + 1000 * Number(timer.dataset.seconds) : null;
    for (const form of document.querySelectorAll("form[data-draft]")) recall(form);
  }

  setInterval(tick, 1000);
  ready();
  const first = document.querySelector("[data-focus]");
  if (first) focusOn(first);
})();
