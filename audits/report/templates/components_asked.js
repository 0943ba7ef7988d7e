// Which components are asked for, and in which order, without the page.
const plainly = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

class Components {
  // data: lists with an entry a component, see audits/report/components/contents.py.
  constructor(data) {
    this.data = data;
    this.count = data.components.length;
    this.rowOf = new Map(data.components.map((component, row) => [component, row]));
    const place = data.sheet.map((sheet, row) => (sheet < 0 ? null : sheet * 4096 + data.row[row]));
    this.values = new Map(data.measures.map((measure) => [measure.key, measure.values]));
    this.values.set("audit", place).set("component", data.components);
    this.orders = new Map();
    this.candidate = new Set(data.candidate);
    this.hidden = new Set(data.hidden);
  }

  name(row) {
    return this.data.names[this.data.label[row]] ?? "no name";
  }

  kind(row) {
    return this.data.kinds[this.data.kind[row]] ?? "";
  }

  // Rows by a measure; those without one come last either way, equal ones by number.
  order(key, falling) {
    const asked = `${key} ${falling}`;
    if (!this.orders.has(asked)) {
      const values = this.values.get(key);
      const known = [], rest = [];
      for (let row = 0; row < this.count; row += 1) (values[row] === null ? rest : known).push(row);
      const sign = falling ? -1 : 1;
      known.sort((one, other) => sign * (values[one] - values[other]) || one - other);
      this.orders.set(asked, known.concat(rest));
    }
    return this.orders.get(asked);
  }

  // For each name, and each class, whether it holds a text; spelled once, at the first search.
  holding(text) {
    this.spelled ??= [this.data.names, this.data.classes].map((texts) => texts.map(plainly));
    return this.spelled.map((texts) => texts.map((name) => name.includes(text)));
  }

  // text: of a name or a number; kind: a number of kinds, or ""; fits: "true", "false", "null" or "";
  // part: finding, candidate, hidden, none or ""; ranges: [key, least, most], undefined for no end.
  rows({ text, kind, fits, part, ranges, sort, falling }) {
    const { components, label, told, runners, findings } = this.data;
    const wanted = plainly(text.trim());
    const parts = {
      finding: (row) => row in findings,
      candidate: (row) => this.candidate.has(row),
      hidden: (row) => this.hidden.has(row),
      none: (row) => !(row in findings) && !this.candidate.has(row) && !this.hidden.has(row),
    };
    const tests = [];
    if (wanted) {
      const [held, classes] = this.holding(wanted);
      const numbered = /^\d+$/.test(wanted) ? Number(wanted) : null;
      const next = (row) => {
        for (const runner of runners[row]) if (held[runner]) return true;
        return false;
      };
      tests.push((row) => held[label[row]] || classes[told[row]] || components[row] === numbered || next(row));
    }
    if (kind) tests.push((row) => this.data.kind[row] === Number(kind));
    if (fits) tests.push((row) => String(this.data.fits[row]) === fits);
    if (part) tests.push(parts[part]);
    for (const [key, least = -Infinity, most = Infinity] of ranges) {
      const values = this.values.get(key);
      tests.push((row) => values[row] !== null && values[row] >= least && values[row] <= most);
    }
    const order = this.order(sort, falling);
    return tests.length ? order.filter((row) => tests.every((holds) => holds(row))) : order;
  }
}
