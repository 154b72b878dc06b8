// Reads what is filled in as a response, the same one as the server makes of the same form.
"use strict";

const Responses = (() => {
  function of(form, kind, shape) {
    const sent = [...new FormData(form)], all = (name) => sent.filter(([key]) => key === name).map(([, value]) => value);
    const named = (prefix) => {
      const found = sent.filter(([key, value]) => key.startsWith(prefix) && value).map(([key, value]) => [key.slice(prefix.length), value]);
      return found.length ? Object.fromEntries(found) : null;
    };
    switch (kind) {
      case "option": return all("response")[0] ?? null;
      case "options": { const found = all("response"); return found.length ? found : null; }
      case "order": { const found = all("order"); return found.length ? found : null; }
      case "match": return named("pair.");
      case "fields": return named("field.");
      case "matrix": {
        const [rows, columns] = shape;
        const cells = Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => (all(`cell.${i}.${j}`)[0] ?? "").trim()));
        return cells.flat().some(Boolean) ? cells : null;
      }
      default: { const text = (all("response")[0] ?? "").replaceAll("\r\n", "\n"); return text.trim() ? text : null; }
    }
  }

  return { of };
})();
