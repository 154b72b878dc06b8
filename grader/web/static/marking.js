// Marks a response on the practice page, exactly as grader/quiz does: the same status, score and note.
// Numbers are exact fractions of BigInt. Nothing here is used where a quiz counts: there the server marks.
"use strict";

const Marking = (() => {
  class Misread extends Error {}

  // --- exact fractions ----------------------------------------------------------------------------------------

  const gcd = (a, b) => { a = a < 0n ? -a : a; b = b < 0n ? -b : b; while (b) [a, b] = [b, a % b]; return a; };
  function fraction(n, d = 1n) {
    if (d < 0n) [n, d] = [-n, -d];
    const g = gcd(n, d) || 1n;
    return { n: n / g, d: d / g };
  }
  const times = (a, b) => fraction(a.n * b.n, a.d * b.d);
  const over = (a, b) => fraction(a.n * b.d, a.d * b.n);
  const minus = (a, b) => fraction(a.n * b.d - b.n * a.d, a.d * b.d);
  const plus = (a, b) => fraction(a.n * b.d + b.n * a.d, a.d * b.d);
  const size = (a) => ({ n: a.n < 0n ? -a.n : a.n, d: a.d });
  const below = (a, b) => a.n * b.d <= b.n * a.d;
  const same = (a, b) => a.n === b.n && a.d === b.d;
  const ten = (e) => (e >= 0 ? fraction(10n ** BigInt(e)) : fraction(1n, 10n ** BigInt(-e)));

  function ofDouble(x) {
    let shift = 0n;
    while (!Number.isInteger(x)) { x *= 2; shift += 1n; }
    return fraction(BigInt(x), 1n << shift);
  }
  // a number of the key: whole ones are written without a point or an exponent
  const isWhole = (text) => /^-?\d+$/.test(text);
  const ofKey = (text) => (isWhole(text) ? fraction(BigInt(text)) : ofDouble(Number(text)));

  function toNumber(a) {
    const cut = Math.max(String(a.n).length, String(a.d).length) - 300;
    if (cut <= 0) return Number(a.n) / Number(a.d);
    const scale = 10n ** BigInt(cut);
    const d = Number(a.d / scale);
    return d === 0 ? Infinity : Number(a.n / scale) / d;
  }

  // --- reading what was typed -----------------------------------------------------------------------------------

  function textOf(response, longest = 2000) {
    if (typeof response === "number") response = String(response);
    if (typeof response !== "string") throw new Misread("A text is asked for.");
    if ([...response].length > longest) throw new Misread(`The answer may have ${longest} characters.`);
    if (!response.trim()) throw new Misread("There is no answer yet.");
    return response.trim();
  }

  const strip = (text, characters) => {
    let start = 0, end = text.length;
    while (start < end && characters.includes(text[start])) start += 1;
    while (end > start && characters.includes(text[end - 1])) end -= 1;
    return text.slice(start, end);
  };
  const withoutEnd = (text, tail) => (tail && text.endsWith(tail) ? text.slice(0, -tail.length) : text);
  const withoutStart = (text, head) => (text.startsWith(head) ? text.slice(head.length) : text);

  const RAISED = { "⁰": "0", "¹": "1", "²": "2", "³": "3", "⁴": "4", "⁵": "5", "⁶": "6", "⁷": "7", "⁸": "8", "⁹": "9", "⁺": "+", "⁻": "-" };
  const GROUPED = /^(?:[+-]?\d{1,3}(?:,\d{3}){2,}(?:\.\d*)?|[+-]?\d{1,3}(?:,\d{3})+\.\d*)$/;
  const AMBIGUOUS = /^[+-]?[1-9]\d{0,2},\d{3}$/;
  const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;
  const POWER_OF_TEN = /(?:\*|x|·|×|⋅|\\cdot|\\times)10(?:\^|\*\*)?\{?\(?([+-]?\d{1,4})\)?\}?$/;
  const BARE_POWER = /^([+-]?)10(?:\^|\*\*)\{?\(?([+-]?\d{1,4})\)?\}?$/;
  const TOO_LARGE = "This number is too large or too small.";

  function raisedTo(e) {
    if (Math.abs(e) > 800) throw new Misread(TOO_LARGE);
    return ten(e);
  }

  function decimal(text) {
    const bare = BARE_POWER.exec(text);
    if (bare) return { value: times(raisedTo(Number(bare[2])), fraction(bare[1] === "-" ? -1n : 1n)), digits: 1 };
    let shift = 0;
    const power = POWER_OF_TEN.exec(text);
    if (power) { shift = Number(power[1]); text = text.slice(0, power.index); }
    if (text.includes(",")) {
      if (AMBIGUOUS.test(text)) {
        throw new Misread(`Does ${text} mean ${text.replaceAll(",", "")} or ${text.replaceAll(",", ".")}? Write it so.`);
      }
      text = GROUPED.test(text) ? text.replaceAll(",", "") : text.replaceAll(",", ".");
    }
    const match = DECIMAL.exec(text);
    if (!match || !(match[2] || match[3])) {
      throw new Misread("A number is asked for, such as 12, 0.25, 2.5e-3 or 1/4.");
    }
    const whole = match[2], part = match[3] || "", exponent = Number(match[4] || 0);
    if (Math.abs(exponent + shift) > 400) throw new Misread(TOO_LARGE);
    const value = times(fraction(BigInt(whole + part || "0")), raisedTo(exponent + shift - part.length));
    const digits = (whole + part).replace(/^0+/, "").length;
    return { value: match[1] === "-" ? fraction(-value.n, value.d) : value, digits };
  }

  function readNumber(response, unit = "") {
    let text = textOf(response, 200);
    if (unit && unit !== "%" && text.toLowerCase().endsWith(unit.toLowerCase())) text = text.slice(0, -unit.length);
    text = strip(text.trim(), "$").replace(/[−–]/g, "-").replaceAll("\\,", "").replaceAll("{,}", "");
    text = text.replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+/g, (raised) => "^" + [...raised].map((c) => RAISED[c]).join(""));
    text = text.replace(/[\s\u00a0\u2009\u202f_'’]/g, "");
    text = withoutStart(withoutStart(withoutStart(text, "="), "≈"), "~");
    const percent = text.endsWith("%");
    text = withoutEnd(withoutEnd(text, "%"), "\\");
    const slash = text.indexOf("/");
    let numeral = decimal(slash < 0 ? text : text.slice(0, slash));
    if (slash >= 0) {
      const under = decimal(text.slice(slash + 1));
      if (under.value.n === 0n) throw new Misread("This divides by zero.");
      numeral = { value: over(numeral.value, under.value), digits: 0 };
    }
    if (percent && unit !== "%") numeral = { value: over(numeral.value, fraction(100n)), digits: numeral.digits };
    const large = size(numeral.value), limit = ten(300);
    if (large.n !== 0n && !(below(large, limit) && below(ten(-300), large))) throw new Misread(TOO_LARGE);
    return numeral;
  }

  function near(value, key, rule) {
    if (rule.within) return below(ofKey(rule.within[0]), value) && below(value, ofKey(rule.within[1]));
    const want = ofKey(key);
    const gap = size(minus(value, want));
    if (rule.exact) {
      if (isWhole(key)) return gap.n === 0n;
      const larger = below(size(value), size(want)) ? size(want) : size(value);
      return below(gap, times(ofDouble(1e-12), larger));
    }
    const bound = rule.abs !== undefined ? ofKey(rule.abs) : times(ofKey(rule.rel), size(want));
    return below(gap, times(bound, fraction(1000000001n, 1000000000n)));
  }

  function readMatrix(response) {
    let rows;
    if (typeof response === "string") rows = rowsOf(textOf(response));
    else if (Array.isArray(response)) rows = response.some(Array.isArray) ? response : [response];
    else throw new Misread("Write the matrix row by row.");
    if (!rows.length || rows.some((row) => !Array.isArray(row) || !row.length)) {
      throw new Misread("Write the matrix row by row, such as [[1, 2], [3, 4]].");
    }
    if (rows.reduce((sum, row) => sum + row.length, 0) > 400) throw new Misread("The matrix is too large.");
    const found = rows.map((row, i) => row.map((cell, j) => {
      try {
        return readNumber(cell).value;
      } catch (problem) {
        if (!(problem instanceof Misread)) throw problem;
        throw new Misread(`Row ${i + 1}, column ${j + 1}: ${problem.message}`);
      }
    }));
    if (new Set(found.map((row) => row.length)).size > 1) throw new Misread("The rows have different lengths.");
    return found;
  }

  function rowsOf(text) {
    let inside = text.replace(/^\s*(?:np\.array|torch\.tensor|array|tensor|matrix)\s*\(/, "").replace(/\)+$/, "").trim();
    inside = inside.replace(/\\begin\{[a-z]*matrix\}|\\end\{[a-z]*matrix\}/g, "").replaceAll("\\\\", ";").replaceAll("&", ",");
    const found = inside.includes("[") ? [...inside.matchAll(/\[([^[\]]*)\]/g)].map((m) => m[1]) : inside.split(/[;\n]/);
    return found.map((row) => row.trim().split(/\s*,\s*|\s+/).filter(Boolean)).filter((row) => row.length);
  }

  const WORDS = /(?:torch\.)?size|shape|tuple|array/gi;

  function readAxes(response) {
    let text = textOf(response, 200).replace(WORDS, "").trim();
    text = strip(text, "=").trim();
    const closesLast = () => {
      let depth = 0;
      for (let i = 0; i < text.length; i += 1) {
        depth += "([{".includes(text[i]) - ")]}".includes(text[i]);
        if (depth === 0) return i === text.length - 1;
      }
      return false;
    };
    while (text.length >= 2 && ["()", "[]", "{}"].includes(text[0] + text.at(-1)) && closesLast()) text = text.slice(1, -1).trim();
    if (!text) return [];
    let axes;
    if (text.includes(",")) {
      axes = text.split(",").map((axis) => axis.trim());
      if (!axes.at(-1)) axes.pop();
    } else {
      axes = text.split(/\s*[x×]\s*|\s+/).filter((axis) => axis.trim());
      if (!/^[\p{L}\p{N}_\s×]+$/u.test(text)) axes = [text];
    }
    if (axes.some((axis) => !axis) || axes.length > 12) {
      throw new Misread("Write the shape with commas between its axes, such as (32, 10, 64).");
    }
    return axes;
  }

  // --- the small language of an axis: numbers, the dims, + - * / and whole powers -------------------------------

  const PRIME = (1n << 61n) - 1n;
  const modulo = (a) => ((a % PRIME) + PRIME) % PRIME;
  function powerModulo(base, exponent) {
    if (exponent < 0n) {
      if (modulo(base) === 0n) return null;
      return powerModulo(powerModulo(base, PRIME - 2n), -exponent);
    }
    let result = 1n;
    base = modulo(base);
    for (; exponent > 0n; exponent >>= 1n) {
      if (exponent & 1n) result = (result * base) % PRIME;
      base = (base * base) % PRIME;
    }
    return result;
  }

  const SIGNS = {
    "+": "+", "-": "-", "−": "-", "–": "-", "*": "*", "/": "/", "÷": "/", "^": "^", "(": "(", ")": ")", "[": "(", "]": ")",
    "{": "{", "}": "}", "·": "*", "⋅": "*", "×": "*", "∙": "*", "@": "*", "⊙": ".*", "∘": ".*", "'": "T", "′": "T", "’": "T",
  };
  const COMMANDS = { cdot: "*", times: "*", ast: "*", odot: ".*", circ: ".*", div: "/", top: "T", lbrace: "(", rbrace: ")", lbrack: "(", rbrack: ")" };
  const DRESS = ["mathbf", "mathrm", "mathit", "mathsf", "boldsymbol", "bm", "text", "textrm", "operatorname", "mathop"];
  const PLAIN = ["left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "quad", "qquad", "displaystyle"];

  function cut(text) {
    const found = [];
    // only letters beyond the common planes have a plain form that takes as much room: 𝐻 is H
    text = [...text.slice(0, 501)].map((c) => (c.codePointAt(0) > 0x2fff && [...c.normalize("NFKC")].length === 1 ? c.normalize("NFKC") : c)).join("");
    let at = 0;
    const rest = (pattern) => { pattern.lastIndex = at; const m = pattern.exec(text); if (m) at = pattern.lastIndex; return m; };
    const bad = () => new Misread("this axis cannot be read");
    if (text.length > 500) throw bad();
    while (at < text.length) {
      let m;
      if (rest(/[ \t\n\r\u00a0\u2009\u200a\u202f\u2062\u2063$]/y)) continue;
      if ((m = rest(/\\([A-Za-z]+)/y))) {
        const word = m[1];
        if (PLAIN.includes(word)) continue;
        if (COMMANDS[word]) found.push([COMMANDS[word]]);
        else if (["frac", "dfrac", "tfrac"].includes(word)) found.push(["frac"]);
        else if (DRESS.includes(word) && (m = rest(/\s*(?:\{\s*([A-Za-z]+)\s*\}|([A-Za-z]))/y))) found.push(["name", m[1] || m[2]]);
        else throw bad();
      } else if ((m = rest(/\\([{}])/y))) found.push([m[1] === "{" ? "(" : ")"]);
      else if (rest(/\\[,;:! >\\|]/y)) continue;
      else if ((m = rest(/(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+(?![\d.]*[A-Za-z_]))?/y))) {
        if (m[0].length > 30) throw bad();
        found.push(["number", m[0]]);
      } else if ((m = rest(/[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*/y))) {
        let name = m[0];
        const below = rest(/_\{([A-Za-z0-9_, +−-]+)\}/y);
        if (below) name += "_" + below[1].replace(/[\s,]/g, "").replace(/[−-]/g, "m").replace(/\+/g, "p");
        found.push(["name", name]);
      } else if ((m = rest(/[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+/y))) {
        const raised = [...m[0]].map((c) => RAISED[c]).join("");
        if (!/^[+-]?\d+$/.test(raised)) throw bad();
        found.push(["^"], ...(/^[+-]/.test(raised) ? [["{"], [raised[0]], ["number", raised.slice(1)], ["}"]] : [["number", raised]]));
      } else if (rest(/\*\*/y)) found.push(["^"]);
      else if ((m = rest(/\.\*\*|\.[*/^]/y))) found.push([m[0] === ".**" ? ".^" : m[0]]);
      else if (SIGNS[text[at]]) { found.push([SIGNS[text[at]]]); at += 1; }
      else throw bad();
    }
    if (!found.length || found.length > 250) throw bad();
    return found;
  }

  const SPLIT_STARTS = ["number", "name", "frac", "(", "{"];

  function parseAxis(text, dims) {
    const tokens = cut(text);
    let at = 0, depth = 0;
    const kind = () => (at < tokens.length ? tokens[at][0] : "end");
    const bad = () => new Misread("this axis cannot be read");
    const deeper = () => { depth += 1; if (depth > 40) throw bad(); };

    function sum() {
      deeper();
      let node = product();
      while (["+", "-"].includes(kind())) { const op = tokens[at++][0]; node = [op, node, product()]; }
      depth -= 1;
      return node;
    }
    function product() {
      let node = signed(), divided = false;
      for (;;) {
        if (["*", "/", ".*", "./"].includes(kind())) {
          const op = tokens[at++][0];
          node = [op.at(-1), node, signed()];
          divided = op.endsWith("/");
        } else if (SPLIT_STARTS.includes(kind())) {
          if (divided || (kind() === "number" && tokens[at - 1][0] === "number")) throw bad();
          node = ["*", node, power()];
        } else return node;
      }
    }
    function signed() {
      if (!["+", "-"].includes(kind())) return power();
      deeper();
      const op = tokens[at++][0], inner = signed();
      depth -= 1;
      return op === "+" ? inner : ["negative", inner];
    }
    function power() {
      let node = postfixed(atom());
      while (["^", ".^"].includes(kind())) {
        const op = tokens[at++][0];
        const transposes = (token) => token && (token[0] === "T" || (token[0] === "name" && ["T", "transpose"].includes(token[1]) && !dims.includes(token[1])));
        if (op === "^" && transposes(tokens[at])) { at += 1; node = ["same", node]; }
        else if (op === "^" && kind() === "{" && transposes(tokens[at + 1]) && tokens[at + 2]?.[0] === "}") { at += 3; node = ["same", node]; }
        else node = ["^", node, exponent()];
        node = postfixed(node);
      }
      return node;
    }
    function postfixed(node) {
      while (kind() === "T") { at += 1; node = ["same", node]; }
      return node;
    }
    function exponent() {
      if (["+", "-"].includes(kind())) {
        deeper();
        const op = tokens[at++][0], inner = exponent();
        depth -= 1;
        return op === "+" ? inner : ["negative", inner];
      }
      const node = atom();
      if (kind() === "^") throw bad();
      return node;
    }
    function bracketed() {
      const close = tokens[at++][0] === "(" ? ")" : "}";
      const node = sum();
      if (kind() !== close) throw bad();
      at += 1;
      return node;
    }
    function atom() {
      const token = tokens[at];
      if (!token) throw bad();
      if (token[0] === "number") {
        at += 1;
        const [mantissa, e] = token[1].toLowerCase().split("e");
        if (e && Math.abs(Number(e)) > 300) throw bad();
        const [whole, part = ""] = mantissa.split(".");
        return ["number", times(fraction(BigInt(whole + part || "0")), ten(Number(e || 0) - part.length))];
      }
      if (token[0] === "(" || token[0] === "{") return bracketed();
      if (token[0] === "frac") {
        at += 1;
        if (kind() !== "{") throw bad();
        const top = bracketed();
        if (kind() !== "{") throw bad();
        return ["/", top, bracketed()];
      }
      if (token[0] === "name") {
        if (dims.includes(token[1])) { at += 1; return ["symbol", token[1]]; }
        const pieces = piecesOf(token[1]);
        if (!pieces.length) throw bad();
        tokens.splice(at, 1, ...pieces.map((piece) => ["name", piece]));
        return atom();
      }
      throw bad();
    }
    function piecesOf(word) {
      const best = Array(word.length + 1).fill(null);
      best[word.length] = [];
      for (let start = word.length - 1; start >= 0; start -= 1) {
        for (let end = word.length; end > start; end -= 1) {
          if (best[end] && dims.includes(word.slice(start, end))) { best[start] = [word.slice(start, end), ...best[end]]; break; }
        }
      }
      return best[0] || [];
    }
    const node = sum();
    if (kind() !== "end") throw bad();
    return node;
  }

  function constant(node) {
    const [op, a, b] = node;
    if (op === "number") return a;
    if (op === "negative") { const value = constant(a); return value && fraction(-value.n, value.d); }
    if (!["+", "-", "*", "/"].includes(op)) return null;
    const x = constant(a), y = constant(b);
    if (!x || !y || (op === "/" && y.n === 0n)) return null;
    return { "+": plus, "-": minus, "*": times, "/": over }[op](x, y);
  }

  // the value at a point modulo the prime, and a bound of the degree; null where a denominator vanishes
  function residue(node, point) {
    const bad = () => new Misread("this axis cannot be read");
    function walk([op, a, b]) {
      if (op === "number") {
        if (a.d % PRIME === 0n) throw bad();
        return [modulo(a.n * powerModulo(a.d, -1n)), 0];
      }
      if (op === "symbol") return [BigInt(point[a]), 1];
      if (op === "same") return walk(a);
      if (op === "negative") { const [v, d] = walk(a); return [v === null ? null : modulo(-v), d]; }
      if (op === "^") {
        const e = constant(b);
        if (!e || e.d !== 1n || e.n > 64n || e.n < -64n) throw bad();
        const [v, d] = walk(a), degree = d * Math.abs(Number(e.n));
        if (degree > 4096) throw bad();
        return [v === null ? null : powerModulo(v, e.n), degree];
      }
      const [x, p] = walk(a), [y, q] = walk(b);
      if (p + q > 4096) throw bad();
      if (x === null || y === null) return [null, p + q];
      if (op === "+" || op === "-") return [modulo(op === "+" ? x + y : x - y), Math.max(p, q)];
      if (op === "*") return [(x * y) % PRIME, p + q];
      const inverse = powerModulo(y, -1n);
      return [inverse === null ? null : (x * inverse) % PRIME, p + q];
    }
    return walk(node)[0];
  }

  function axesGiven(response, key, label) {
    return readAxes(response).map((axis) => {
      let node;
      try {
        node = parseAxis(axis, key.dims);
        if (key.dims.length) return key.points.map((point) => String(residue(node, point) ?? "None")).join(",");
      } catch (problem) {
        if (!(problem instanceof Misread)) throw problem;
        throw new Misread(`${label}: the axis \`${axis}\` cannot be read.`);
      }
      const value = constant(node);
      if (!value || value.d !== 1n || value.n < 0n || value.n >= PRIME) {
        throw new Misread(`${label}: an axis is a whole number, not \`${axis}\`.`);
      }
      return String(value.n);
    });
  }

  // --- terms ------------------------------------------------------------------------------------------------------

  const plainTerm = (text) => strip(text.toLowerCase().replaceAll("ß", "ss").trim(), ".!\"'`“”„")
    .replace(/[-‐_]/g, " ").replace(/^(?:the|an|a)\s+/, "").split(/\s+/).filter(Boolean).join(" ");

  function distance(a, b) {  // optimal string alignment
    a = [...a]; b = [...b];
    const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
    for (let i = 1; i <= a.length; i += 1) {
      rows.push([i]);
      for (let j = 1; j <= b.length; j += 1) {
        let best = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] !== b[j - 1]));
        if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, rows[i - 2][j - 2] + 1);
        rows[i].push(best);
      }
    }
    return rows[a.length][b.length];
  }

  function sameTerm(text, accept, reject, typos) {
    const given = plainTerm(text);
    const refused = reject.map(plainTerm);
    if (accept.map(plainTerm).includes(given)) return "key";
    if (refused.includes(given)) return null;
    const digits = (term) => term.replace(/\P{Nd}/gu, "");
    for (const term of accept.map(plainTerm)) {
      const length = [...term].length;
      const allowed = typos ?? (length < 5 ? 0 : length < 9 ? 1 : 2);
      const gap = distance(given, term);
      if (gap > 0 && gap <= allowed && [...given][0] === [...term][0] && digits(given) === digits(term)
          && refused.every((one) => distance(given, one) > gap)) return "typo";
    }
    return null;
  }

  // --- marks ------------------------------------------------------------------------------------------------------

  const rounded = (score) => Math.round(score * 1e6) / 1e6;
  const invalid = (message) => ({ status: "invalid", score: 0, note: "invalid", feedback: [{ text: message }], held: [] });

  function graded(score, note, feedback = [], held = []) {
    score = Math.min(Math.max(score, 0), 1);
    const status = score >= 1 - 1e-9 ? "right" : score > 1e-9 ? "partial" : "wrong";
    score = status === "right" ? 1 : status === "wrong" ? 0 : rounded(score);
    return { status, score, note, feedback, held: [...new Set(held.filter(Boolean))] };
  }
  const why = (one) => (one.why ? [{ html: one.why }] : []);
  const recognised = (one) => graded(one.credit, one.note, why(one), [one.held]);

  function markOption(given, options) {
    if (typeof given !== "string" || !given.trim()) throw new Misread("Choose one of the options.");
    const chosen = options.find((option) => option.id === given.trim());
    if (!chosen) throw new Misread("There is no such option.");
    return chosen.correct ? graded(1, "key", why(chosen)) : graded(chosen.credit, `option:${chosen.id}`, why(chosen), [chosen.held]);
  }

  function remark(value, key) {
    const want = ofKey(key);
    if (want.n === 0n || value.n === 0n) return "other";
    const ratio = toNumber(over(value, want));
    if (Math.abs(ratio + 1) < 1e-6) return "sign";
    const n = [-6, -3, -2, -1, 1, 2, 3, 6].find((e) => Math.abs(ratio / 10 ** e - 1) < 1e-6);
    return n === undefined ? "other" : `times-1e${n}`;
  }

  // the rule by which another number than the key is recognised
  const around = (rule) => (rule.within ? { rel: "0.01" } : rule);

  function markNumber(given, key) {
    const { value, digits } = readNumber(given, key.unit);
    if (near(value, key.value, key.rule)) {
      const figures = key.figures;
      if (figures && digits && (digits < figures.min || digits > (figures.max ?? 1000))) {
        const asked = figures.max ? `${figures.min} to ${figures.max}` : `at least ${figures.min}`;
        return graded(1 - figures.penalty, "sigfigs", [{ text: `The value is right, but it is given with ${digits} significant digits; asked for are ${asked}.` }]);
      }
      return graded(1, "key");
    }
    const wrong = key.wrong.find((one) => near(value, one.value, around(key.rule)));
    return wrong ? recognised(wrong) : graded(0, remark(value, key.value));
  }

  // --- errors carried forward: whole numbers stay whole (BigInt), as they do in Python -----------------------------

  const FUNCTIONS = {
    abs: (x) => (x < 0 ? -x : x), max: (...xs) => xs.reduce((a, b) => (b > a ? b : a)), min: (...xs) => xs.reduce((a, b) => (b < a ? b : a)),
    exp: Math.exp, log: Math.log, sqrt: Math.sqrt, tanh: Math.tanh,
    sigmoid: (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
  };
  const ofNumbers = (name) => ["abs", "max", "min"].includes(name);
  const bits = (whole) => (whole < 0n ? -whole : whole).toString(2).length;

  function powerOf(base, exponent) {
    if (typeof base === "bigint" && typeof exponent === "bigint") {
      if (exponent > 4096n || exponent < -4096n || bits(base) * Math.max(Number(exponent), 1) > 4096) return NaN;
      if (exponent >= 0n) return base ** exponent;
    }
    return Number(base) ** Number(exponent);
  }

  function computed(tree, given) {
    const [sign, ...parts] = tree;
    if (sign === "number") return isWhole(parts[0]) ? BigInt(parts[0]) : Number(parts[0]);
    if (sign === "blank") return given[parts[0]];
    const xs = parts.map((part) => computed(part, given));
    if (xs.some(Number.isNaN)) return NaN;
    if (sign === "neg") return -xs[0];
    if (sign === "**") return powerOf(...xs);
    if (Object.hasOwn(FUNCTIONS, sign)) return FUNCTIONS[sign](...(ofNumbers(sign) ? xs : xs.map(Number)));
    if (sign === "/") return Number(xs[0]) / Number(xs[1]);
    const [a, b] = xs.every((x) => typeof x === "bigint") ? xs : xs.map(Number);
    return sign === "+" ? a + b : sign === "-" ? a - b : a * b;
  }

  const blanksOf = (tree) => (tree[0] === "blank" ? [tree[1]] : tree[0] === "number" ? [] : tree.slice(1).flatMap(blanksOf));

  function markCarried(field, fields, response) {
    const earlier = [...new Set(blanksOf(field.ecf))].sort(byCodePoint), labels = [], given = {};
    for (const id of earlier) {
      const other = fields.find((one) => one.id === id), typed = readNumber(response[id], other.unit).value;
      given[id] = isWhole(other.value) && typed.n % typed.d === 0n ? typed.n / typed.d : Number(typed.n) / Number(typed.d);
      labels.push(other.label);
    }
    const follows = computed(field.ecf, given);
    if (typeof follows === "number" && !Number.isFinite(follows)) return null;
    if (typeof follows === "bigint" && bits(follows) > 4096) return null;
    const text = typeof follows === "bigint" ? String(follows) : follows.toExponential();
    if (!near(readNumber(response[field.id], field.unit).value, text, around(field.rule))) return null;
    return graded(1, "carried", [{ text: `${field.label}: right, going by what you gave for ${labels.join(" and ")}.` }]);
  }

  function markTerm(given, key) {
    const text = textOf(given, 200);
    const wrong = key.wrong.find((one) => plainTerm(text) === plainTerm(one.text));
    if (wrong) return recognised(wrong);
    const found = sameTerm(text, key.accept, [...key.reject, ...key.wrong.map((one) => one.text)], key.typos);
    if (found === "typo") return graded(1, "typo", [{ text: `Understood as “${key.accept[0]}”.` }]);
    return found ? graded(1, "key") : graded(0, "other");
  }

  const isList = (response) => Array.isArray(response) && response.every((one) => typeof one === "string");
  const isMapping = (response) => typeof response === "object" && response !== null && !Array.isArray(response);

  const types = {
    choice: (response, key) => markOption(response, key.options),

    numeric: markNumber,

    multi(response, key) {
      if (!isList(response)) throw new Misread("Choose the options that hold.");
      const chosen = new Set(response.map((one) => one.trim()));
      if (!chosen.size) throw new Misread("Choose at least one option.");
      const known = key.options, ids = known.map((option) => option.id);
      if ([...chosen].some((one) => !ids.includes(one))) throw new Misread("There is no such option.");
      const correct = known.filter((option) => option.correct).length;
      const hits = known.filter((option) => option.correct && chosen.has(option.id)).length;
      const extra = chosen.size - hits, all = hits === correct && !extra;
      let score = {
        "all-or-nothing": Number(all),
        "each-answer": (hits + known.length - correct - extra) / known.length,
        net: (hits - extra) / correct,
        coverage: (hits / correct) * (hits / chosen.size),
      }[key.scoring];
      if (key.scoring === "each-answer" && (!hits || (chosen.size === known.length && extra))) score = 0;
      const wrongly = known.filter((option) => chosen.has(option.id) && !option.correct);
      const feedback = wrongly.flatMap(why), missed = correct - hits;
      if (missed) feedback.push({ text: hits ? `${missed} more ${missed > 1 ? "hold" : "holds"}.` : "None of these holds." });
      return graded(score, all ? "key" : "chosen:" + [...chosen].sort(byCodePoint).join("+"), feedback, wrongly.map((option) => option.held));
    },

    order(response, key) {
      if (!isList(response) || !response.length) throw new Misread("Put the blocks in order.");
      const given = response.map((one) => one.trim());
      if (given.some((one) => !Object.hasOwn(key.before, one) && !Object.hasOwn(key.strange, one))) throw new Misread("There is no such block.");
      if (new Set(given).size < given.length) throw new Misread("Every block is used once at most.");
      const own = given.filter((one) => Object.hasOwn(key.before, one));
      const strange = given.filter((one) => Object.hasOwn(key.strange, one)).map((one) => key.strange[one]);
      const longest = largestPart(own, key.before), all = Object.keys(key.before).length;
      let score = Math.max(longest - strange.length, 0) / all;
      if (key.scoring === "all-or-nothing" && score < 1) score = 0;
      const feedback = strange.flatMap(why), missing = all - own.length;
      if (missing && longest === own.length && !strange.length) {
        feedback.push({ text: `What is there stands in a right order, but ${missing} more ${missing > 1 ? "belong" : "belongs"} to it.` });
      } else if (longest < own.length) feedback.push({ text: `${longest} of your ${own.length} blocks stand in a right order.` });
      const note = score === 1 ? "key" : `order:${longest}/${all}` + (strange.length ? `+${strange.length}` : "");
      return graded(score, note, feedback, strange.map((one) => one.held));
    },

    match(response, key) {
      const asked = "Give every left side something on the right.";
      if (!isMapping(response) || Object.values(response).some((one) => typeof one !== "string")) throw new Misread(asked);
      const lefts = Object.keys(key.pairs);
      if (Object.entries(response).some(([left, right]) => !lefts.includes(left) || !key.rights.includes(right))) throw new Misread("There is no such side.");
      if (Object.keys(response).length < lefts.length) throw new Misread(asked);
      const missed = lefts.filter((left) => response[left] !== key.pairs[left]), hits = lefts.length - missed.length;
      const score = key.scoring === "per-pair" ? hits / lefts.length : Number(!missed.length);
      const known = key.wrong.filter((one) => response[one.left] === one.right);
      const feedback = known.flatMap(why);
      if (hits && missed.length) feedback.push({ text: `${hits} of ${lefts.length} pairs are right.` });
      return graded(score, missed.length ? "missed:" + missed.sort(byCodePoint).join("+") : "key", feedback, known.map((one) => one.held));
    },

    matrix(response, key) {
      let given = readMatrix(response);
      const want = key.value, rows = want.length, columns = want[0].length;
      const transposed = (m) => m[0].map((_, j) => m.map((row) => row[j]));
      if (given.length !== rows || given[0].length !== columns) {
        if (given.length === columns && given[0].length === rows && (rows === 1 || columns === 1)) given = transposed(given);
        else throw new Misread(`Asked for are ${rows} rows of ${columns}; this has ${given.length} of ${given[0].length}.`);
      }
      const hitsOf = (m, other) => m.flatMap((row, i) => row.filter((cell, j) => near(cell, other[i][j], key.rule))).length;
      const hits = hitsOf(given, want), cells = rows * columns;
      if (hits === cells) return graded(1, "key");
      const wrong = key.wrong.find((one) => one.value.length === rows && one.value[0].length === columns && hitsOf(given, one.value) === cells);
      if (wrong) return recognised(wrong);
      if (rows === columns && rows > 1 && hitsOf(transposed(given), want) === cells) {
        return graded(0, "transposed", [{ text: "This is the transpose of what is asked for." }]);
      }
      return graded(key.scoring === "per-cell" ? hits / cells : 0, `cells:${hits}/${cells}`, hits ? [{ text: `${hits} of ${cells} cells are right.` }] : []);
    },

    shape(response, key) {
      if (!isMapping(response)) {
        if (key.fields.length > 1) throw new Misread("Every field needs a shape.");
        response = { [key.fields[0].id]: response };
      }
      const ids = key.fields.map((field) => field.id);
      if (Object.keys(response).some((one) => !ids.includes(one))) throw new Misread("There is no such field.");
      const given = key.fields.map((field) => {
        if (!Object.hasOwn(response, field.id)) throw new Misread(`${field.label}: there is no answer yet.`);
        try {
          return axesGiven(response[field.id], key, field.label);
        } catch (problem) {
          if (!(problem instanceof Misread) || problem.message.startsWith(field.label)) throw problem;
          throw new Misread(`${field.label}: ${problem.message}`);
        }
      });
      const scores = [], notes = [], feedback = [], held = [];
      key.fields.forEach((field, n) => {
        const [score, note, said, belief] = shapeField(given[n], field, key);
        scores.push(score); notes.push(note); feedback.push(...said); held.push(belief);
      });
      let total = scores.reduce((a, b) => a + b, 0) / scores.length;
      if (key.scoring === "all-or-nothing" && Math.min(...scores) < 1) total = 0;
      const note = notes.length === 1 ? notes[0] : ids.map((id, n) => `${id}=${notes[n]}`).join(",");
      return graded(total, total === 1 ? "key" : note, feedback, held);
    },

    cloze(response, key) {
      if (!isMapping(response)) {
        if (key.fields.length > 1) throw new Misread("Fill in every blank.");
        response = { [key.fields[0].id]: response };
      }
      if (Object.keys(response).some((one) => !key.fields.some((field) => field.id === one))) throw new Misread("There is no such blank.");
      const found = key.fields.map((field) => {
        if (!Object.hasOwn(response, field.id)) throw new Misread(`${field.label}: there is no answer yet.`);
        const mark = { numeric: markNumber, text: markTerm, choice: (given, one) => markOption(given, one.options) }[field.type];
        try {
          const own = mark(response[field.id], field);
          return (field.ecf && !["key", "sigfigs"].includes(own.note) && markCarried(field, key.fields, response)) || own;
        } catch (problem) {
          if (!(problem instanceof Misread)) throw problem;
          throw new Misread(`${field.label}: ${problem.message}`);
        }
      });
      const weights = key.fields.map((field) => field.weight), weight = weights.reduce((a, b) => a + b, 0);
      let total = found.reduce((sum, one, n) => sum + one.score * weights[n], 0) / weight;
      if (key.scoring === "all-or-nothing" && total < 1) total = 0;
      const feedback = found.flatMap((one) => one.feedback), right = found.filter((one) => one.score === 1).length;
      if (right && right < found.length) feedback.push({ text: `${right} of ${found.length} blanks are right.` });
      let note = "key";
      if (found.length === 1) note = found[0].note;
      else if (total < 1) note = key.fields.map((field, n) => `${field.id}=${found[n].note}`).join(",");
      return graded(total, note, feedback, found.flatMap((one) => one.held));
    },
  };

  function byCodePoint(a, b) { return a < b ? -1 : a > b ? 1 : 0; }

  // the most blocks among which none stands before what must precede it
  function largestPart(given, before) {
    const clashes = given.map((one, i) => given.reduce((bits, later, j) => (j > i && before[one].includes(later) ? bits | (1 << j) : bits), 0));
    const count = (bits) => { let n = 0; for (; bits; bits &= bits - 1) n += 1; return n; };
    let best = 0;
    for (let chosen = 0; chosen < 1 << given.length; chosen += 1) {
      if (count(chosen) > best && clashes.every((clash, i) => !((chosen >> i) & 1 && chosen & clash))) best = count(chosen);
    }
    return best;
  }

  function shapeField(given, field, key) {
    const flat = (axes) => axes.map((axis) => axis.join(","));
    const want = flat(field.axes), agree = (other) => given.length === other.length && given.every((axis, n) => axis === other[n]);
    if (agree(want)) return [1, "key", [], null];
    const wrong = key.wrong.find((one) => (one.field === null || one.field === field.id) && agree(flat(one.axes)));
    if (wrong) return [key.scoring === "all-or-nothing" ? 0 : wrong.credit, wrong.note, why(wrong), wrong.held];
    const axes = (n) => (n === 1 ? "1 axis" : `${n} axes`);
    if (given.length !== want.length) {
      return [0, "rank", [{ text: `${field.label}: ${axes(given.length)} given, ${axes(want.length)} asked for.` }], null];
    }
    if ([...given].sort().join(";") === [...want].sort().join(";")) {
      return [0, "permuted", [{ text: `${field.label}: the right sizes in the wrong order.` }], null];
    }
    const hits = given.filter((axis, n) => axis === want[n]).length;
    const said = hits ? [{ text: `${field.label}: ${hits} of ${want.length} axes agree.` }] : [];
    return [key.scoring === "per-axis" ? hits / want.length : 0, `axes:${hits}/${want.length}`, said, null];
  }

  // (type, response, key) -> {status, score, note, feedback: [{html} or {text}], held}
  function mark(type, response, key) {
    try {
      if (response === null || response === undefined) throw new Misread("There is no answer yet.");
      return types[type](response, key);
    } catch (problem) {
      if (problem instanceof Misread) return invalid(problem.message);
      throw problem;
    }
  }

  return { mark, readNumber, readAxes, parseAxis, distance };
})();

if (typeof module !== "undefined") module.exports = Marking;
