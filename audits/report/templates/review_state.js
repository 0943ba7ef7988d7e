// Verdicts on findings, without the page: what was given before, what is decided here, the CSV.
const COLUMNS = ["finding_id", "verdict", "mode", "note", "reviewer", "date"];
const NONE = { verdict: "", mode: "", note: "", date: "" };
const ACTIONS = {
  j: "next", ArrowDown: "next", k: "previous", ArrowUp: "previous", a: "accept", r: "reject",
  1: "polysemy", 2: "compound", 3: "typography", 4: "spurious", 5: "unclear",
  n: "note", u: "undo", "?": "help", Escape: "stop",
};

// A spreadsheet would run a text that begins like a formula; an apostrophe keeps it text.
const guarded = (text) => (/^'*[=+\-@\t\r]/.test(text) ? `'${text}` : text);

const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

const same = (one, other) =>
  ["verdict", "mode", "note", "date"].every((key) => one[key] === other[key]);

class Review {
  // given: finding id → verdict, mode, note, reviewer and date of an earlier review.
  constructor(ids, given) {
    this.ids = ids;
    this.given = new Map(Object.entries(given));
    this.decided = new Map();
    this.past = [];
  }

  of(id) {
    return this.decided.get(id) ?? this.given.get(id) ?? NONE;
  }

  change(id, part, date) {
    this.past.push([id, this.decided.get(id)]);
    this.decided.set(id, { ...this.of(id), ...part, date });
  }

  // A mode is a yes to the finding, where nothing was said of it yet.
  setMode(id, mode, date) {
    this.change(id, { mode, verdict: this.of(id).verdict || "accept" }, date);
  }

  // The finding that changed back, undefined where there is nothing to undo.
  undo() {
    if (!this.past.length) return undefined;
    const [id, before] = this.past.pop();
    if (before) this.decided.set(id, before);
    else this.decided.delete(id);
    return id;
  }

  get done() {
    return this.ids.filter((id) => this.of(id).verdict).length;
  }

  // Findings decided here, with a verdict: a note alone is none.
  get lines() {
    return this.ids.filter((id) => this.decided.get(id)?.verdict);
  }

  get waiting() {
    return this.ids.filter((id) => this.decided.has(id) && !this.of(id).verdict);
  }

  csv(reviewer) {
    const rows = this.lines.map((id) => {
      const row = this.decided.get(id);
      return [id, row.verdict, row.mode, guarded(row.note), guarded(reviewer), row.date];
    });
    return [COLUMNS, ...rows].map((row) => row.map(field).join(",") + "\n").join("");
  }

  get stored() {
    return Object.fromEntries(this.decided);
  }

  // What was decided before the page was loaded, less what the report knows by now.
  restore(stored) {
    for (const id of this.ids) {
      const row = stored[id];
      if (row && !same(row, this.given.get(id) ?? NONE)) {
        this.decided.set(id, { ...NONE, ...row });
      }
    }
  }
}
