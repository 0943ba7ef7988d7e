// Goes through the findings by keyboard or buttons; the verdicts leave the page as CSV.
(() => {
  const { audit, data, verdicts } = JSON.parse(document.getElementById("given").textContent);
  const items = [...document.querySelectorAll("[data-finding]")];
  const review = new Review(items.map((item) => item.dataset.finding), verdicts);
  const at = (id) => document.getElementById(id);
  const panel = at("review"), note = at("note"), reviewer = at("reviewer");
  const buttons = [...panel.querySelectorAll("[data-do]")];
  const names = Object.fromEntries(
    buttons.map((button) => [button.dataset.do, button.firstChild.textContent.trim()]));
  const KEY = `clip-audit review ${audit} ${data}`;
  let current = 0;
  let keeps = true;

  // In a sandboxed frame, touching localStorage throws: the verdicts are then kept in memory only.
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    review.restore(kept.decided ?? {});
    reviewer.value = kept.reviewer ?? "";
  } catch {
    keeps = false;
  }
  const keep = () => {
    try {
      localStorage.setItem(KEY, JSON.stringify({ decided: review.stored, reviewer: reviewer.value }));
      keeps = true;
    } catch {
      keeps = false;
    }
  };

  const today = () => {
    const now = new Date();
    const two = (number) => String(number).padStart(2, "0");
    return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  };
  const said = { accept: "accepted", reject: "rejected" };
  const words = (row, noted) =>
    [said[row.verdict], names[row.mode], row.note && noted].filter(Boolean).join(", ");
  const visible = () => items.filter((item) => !item.hidden);
  const id = () => review.ids[current];

  const show = (message = "") => {
    for (const item of items) {
      const row = review.decided.get(item.dataset.finding);
      const mine = item.querySelector(".mine");
      mine.hidden = !row;
      mine.textContent = row ? `here: ${words(row, "noted")}` : "";
      mine.dataset.verdict = row?.verdict ?? "";
    }
    const open = !panel.hidden;
    items.forEach((item, index) => {
      if (open && index === current) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    });
    const row = review.of(id());
    for (const button of buttons) {
      if (!button.hasAttribute("aria-pressed")) continue;
      const on = button.dataset.do === row.verdict || button.dataset.do === row.mode;
      button.setAttribute("aria-pressed", String(on));
    }
    if (document.activeElement !== note) note.value = row.note;
    at("progress").value = review.done;
    const list = visible();
    const place = `${list.indexOf(items[current]) + 1} of ${list.length}`;
    const waiting = review.waiting.length;
    at("said").textContent = [
      message, `Finding ${place}: ${items[current].dataset.name}`, words(row, `“${row.note}”`) || "no verdict",
      `${review.done} of ${items.length} with a verdict, ${review.lines.length} for the CSV`,
      waiting ? `${waiting} with a note wait${waiting === 1 ? "s" : ""} for a verdict` : "",
    ].filter(Boolean).join(" · ");
    at("csv").value = review.csv(reviewer.value.trim());
    at("kept").textContent = keeps
      ? "This browser keeps them."
      : "This page may not store anything: they are lost when it is closed or loaded again.";
  };

  const go = (index) => {
    current = index;
    items[current].focus({ preventScroll: true });
    items[current].scrollIntoView({ block: "start", behavior: "instant" });
  };
  const move = (step) => {
    const list = visible();
    if (!list.length) return show("no finding passes the filter");
    const place = list.indexOf(items[current]);
    const next = Math.min(Math.max(place + step, 0), list.length - 1);
    go(items.indexOf(list[next]));
    show(place === next ? "no further finding" : "");
  };
  const named = () => {
    if (reviewer.value.trim()) return true;
    reviewer.focus();
    show("whose verdicts are these? Give a reviewer's name first");
    return false;
  };
  const leave = (text, kind) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind }));
    link.download = `${audit}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const byHand = () => {
    at("lines").open = true;
    at("csv").focus();
    at("csv").select();
    show("this page may not copy by itself: copy the selected text");
  };

  const actions = {
    next: () => move(1),
    previous: () => move(-1),
    note: () => note.focus({ preventScroll: true }),
    undo: () => {
      const changed = review.undo();
      if (changed !== undefined) go(review.ids.indexOf(changed));
      keep();
      show(changed === undefined ? "nothing to undo" : "undone");
    },
    help: () => {
      const keys = at("keys");
      keys.hidden = !keys.hidden;
      const button = buttons.find((one) => one.dataset.do === "help");
      button.setAttribute("aria-expanded", String(!keys.hidden));
    },
    stop: () => {
      panel.hidden = true;
      document.body.classList.remove("reviewing");
      show();
      at("start").focus();
    },
    download: () => {
      if (!named()) return;
      leave(review.csv(reviewer.value.trim()), "text/csv;charset=utf-8");
      at("lines").open = true;
      show("downloaded; where the page may not, copy the text below");
    },
    copy: () => {
      if (!named()) return;
      const text = review.csv(reviewer.value.trim());
      // Undefined without a secure context, refused in a sandboxed frame.
      if (!navigator.clipboard) return byHand();
      navigator.clipboard.writeText(text).then(() => show("copied"), byHand);
    },
  };
  for (const verdict of ["accept", "reject"]) {
    actions[verdict] = () => decide(() => review.change(id(), { verdict }, today()));
  }
  for (const mode of ["polysemy", "compound", "typography", "spurious", "unclear"]) {
    actions[mode] = () => decide(() => review.setMode(id(), mode, today()));
  }
  const decide = (change) => {
    change();
    keep();
    show();
  };

  items.forEach((item, index) => {
    item.tabIndex = -1;
    item.addEventListener("click", () => {
      if (panel.hidden) return;
      current = index;
      show();
    });
  });
  for (const button of buttons) {
    button.addEventListener("click", () => actions[button.dataset.do]());
  }
  note.addEventListener("change", () => {
    const text = note.value.trim();
    if (text !== review.of(id()).note) {
      decide(() => review.change(id(), { note: text }, today()));
    }
  });
  reviewer.addEventListener("change", () => { keep(); show(); });
  at("start").addEventListener("click", () => {
    panel.hidden = false;
    document.body.classList.add("reviewing");
    const open = items.findIndex((item) => !item.hidden && !review.of(item.dataset.finding).verdict);
    go(open < 0 ? 0 : open);
    show();
  });
  document.addEventListener("keydown", (event) => {
    if (panel.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    // Over the page something is open that has the keyboard.
    if (document.querySelector("dialog[open]")) return;
    if (event.target.matches("input, textarea")) {
      if (event.target.type === "checkbox") return;
      // Leaving the field makes it report its change.
      if (event.key === "Escape" || event.key === "Enter") items[current].focus();
      return;
    }
    if (event.key === "Tab") {
      // From a finding to its controls and back, past the rest of the page.
      const last = [items[current], ...items[current].querySelectorAll('a:not([tabindex="-1"])')].at(-1);
      const [from, to] = event.shiftKey ? [buttons[0], last] : [last, buttons[0]];
      if (event.target === from) {
        event.preventDefault();
        to.focus({ preventScroll: true });
      }
      return;
    }
    const action = ACTIONS[event.key] ?? ACTIONS[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    actions[action]();
  });
  window.addEventListener("beforeunload", (event) => {
    if (!keeps && review.lines.length) event.preventDefault();
  });
  document.querySelector(".start").hidden = false;
  show();
})();
