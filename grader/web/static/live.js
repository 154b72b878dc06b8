// Keeps the instructor's live view fresh: every three seconds, until it is paused.
"use strict";

(() => {
  let paused = false;

  function button() {
    const found = document.getElementById("pause");
    if (!found) return;
    found.hidden = false;
    found.setAttribute("aria-pressed", String(paused));
    found.onclick = () => { paused = !paused; found.setAttribute("aria-pressed", String(paused)); };
  }

  async function fresh() {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch("/live", { credentials: "same-origin", headers: { Accept: "text/html" }, signal: AbortSignal.timeout(20000) });
      if (!answer.ok) throw new TypeError(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const focused = document.activeElement?.id;
      const scrolled = document.querySelector(".scroll")?.scrollLeft ?? 0;
      document.getElementById("main").replaceWith(document.adoptNode(page.getElementById("main")));
      document.querySelector(".scroll").scrollLeft = scrolled;
      document.getElementById("notice").textContent = "";
      button();
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    } catch (problem) {
      document.getElementById("notice").textContent = "The connection is lost: this is how it stood before. Trying again.";
    }
  }

  button();
  (async () => { for (;;) { await new Promise((done) => { setTimeout(done, 3000); }); await fresh(); } })();
})();
