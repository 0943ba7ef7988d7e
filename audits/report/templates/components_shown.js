// Pieces of the page. Texts of the data become text nodes and attributes only.
const make = (tag, about = {}, ...inside) => {
  const drawn = ["svg", "rect", "line", "text"].includes(tag);
  const node = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(about)) node.setAttribute(key, value);
  node.append(...inside);
  return node;
};

const grouped = new Intl.NumberFormat("en");
const number = (value) => {
  if (value === null || value === undefined) return "n/a";
  if (Number.isInteger(value)) return grouped.format(value);
  return value.toPrecision(3).replace("-", "−");
};

// Sheets of pictures, or of the veils over them: the first are in the page, the others where the
// audit has left them.
const SHEETS = { sheet: ["jpg", "image/jpeg"], veils: ["png", "image/png"] };

class Sheets {
  // kind: of SHEETS, and class of the scripts that hold them and of what is drawn.
  constructor({ folder, rows, columns }, kind) {
    this.folder = folder;
    this.rows = rows;
    this.columns = columns;
    this.kind = kind;
    [this.extension, this.type] = SHEETS[kind];
    this.inside = [...document.querySelectorAll(`script.${kind}`)];
    this.made = new Map();
    this.lost = new Set();
  }

  file(sheet) {
    return `${String(sheet).padStart(5, "0")}.${this.extension}`;
  }

  // An address, null where the page can reach none: MLflow's frame has no files beside it.
  address(sheet) {
    if (this.inside.length <= sheet) return location.protocol === "blob:" || this.lost.has(sheet) ? null : `${this.folder}/${this.file(sheet)}`;
    if (!this.made.has(sheet)) {
      const text = atob(this.inside[sheet].textContent);
      const bytes = new Uint8Array(text.length);
      for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
      this.made.set(sheet, URL.createObjectURL(new Blob([bytes], { type: this.type })));
    }
    return this.made.get(sheet);
  }

  // One picture of a sheet, put into a box that cuts it out; gone is called where the sheet cannot be
  // loaded.
  draw(box, sheet, row, column, alt, gone) {
    const address = this.address(sheet);
    if (address === null) {
      gone();
      return;
    }
    const image = make("img", { class: this.kind, alt, src: address, decoding: "async" });
    image.style.cssText = `width:${100 * this.columns}%;left:${-100 * column}%;top:${-100 * row}%`;
    image.style.height = `${100 * this.rows[sheet]}%`;
    image.addEventListener("error", () => {
      this.lost.add(sheet);
      image.remove();
      gone();
    });
    box.append(image);
  }
}

// How many images fire a component how strongly.
const distribution = (counts, largest, total) => {
  const [width, height, base] = [420, 110, 88];
  const most = Math.max(...counts);
  const said = `${number(counts.reduce((sum, one) => sum + one, 0))} of ${number(total)} train images fire it, the strongest at ${number(largest)}`;
  const svg = make("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said });
  const step = width / counts.length;
  counts.forEach((count, at) => {
    const tall = (base - 4) * (count / most);
    svg.append(make("rect", { x: at * step + 1, y: base - tall, width: step - 2, height: tall, fill: "var(--blue)" }));
  });
  svg.append(make("line", { x1: 0, x2: width, y1: base, y2: base, stroke: "var(--edge)" }));
  svg.append(make("text", { class: "axis", x: 0, y: base + 16 }, "0"));
  svg.append(make("text", { class: "axis", x: width, y: base + 16, "text-anchor": "end" }, number(largest)));
  return [svg, make("p", {}, `${said}.`)];
};
