// Moves the blocks of an order question by its buttons, for the served quiz and the practice page alike.
"use strict";

const Blocks = (() => {
  const textOf = (block) => block.querySelector(".text").textContent.trim();

  // make names, buttons and the two selects agree with where the blocks stand
  function settle(order) {
    const used = order.querySelector(".used");
    for (const block of order.querySelectorAll("li")) {
      const isUsed = block.parentElement === used;
      block.querySelector("input[type=hidden]").name = isUsed ? "order" : "out";
      for (const button of block.querySelectorAll("button")) button.hidden = button.value.startsWith("in:") === isUsed;
    }
    for (const select of [order.querySelector("[name=mover]"), order.querySelector("[name=after]")]) {
      const first = select.querySelector("option[value='']");
      select.replaceChildren(...(first ? [first] : []), ...[...used.children].map((block) => new Option(textOf(block), block.dataset.id)));
    }
  }

  // carry out one button; return what to tell a learner who does not see it
  function press(order, button) {
    const used = order.querySelector(".used"), out = order.querySelector(".out");
    const find = (name) => [...order.querySelectorAll("li")].find((li) => li.dataset.id === name);
    const [act, id] = button.value.split(":");
    const after = find(order.querySelector("[name=after]").value);
    const block = find(act === "move" ? order.querySelector("[name=mover]").value : id);
    if (!block || (act === "move" && block === after)) return "";
    if (act === "up") block.previousElementSibling?.before(block);
    else if (act === "down") block.nextElementSibling?.after(block);
    else if (act === "out") out.append(block);
    else if (act === "in") used.append(block);
    else if (after) after.after(block);
    else used.prepend(block);
    settle(order);
    (button.hidden ? [...block.querySelectorAll("button")].find((one) => !one.hidden) : button).focus();
    const all = [...used.children];
    return block.parentElement === used ? `${textOf(block)}: now number ${all.indexOf(block) + 1} of ${all.length}` : `${textOf(block)}: left out`;
  }

  // put the blocks as they were: `left` holds the ids that were left out
  function restore(order, ids, left) {
    for (const [list, names] of [[".used", ids], [".out", left]]) {
      for (const name of names) {
        const block = [...order.querySelectorAll("li")].find((li) => li.dataset.id === name);
        if (block) order.querySelector(list).append(block);
      }
    }
    settle(order);
  }

  const moves = (button) => Boolean(button) && /^(?:up:|down:|in:|out:|move$)/.test(button.value);
  return { press, restore, moves };
})();
