// The page: what is asked, a page of the list, and one component.
(() => {
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("data").textContent);
  const details = at("details").textContent.split("\n");
  const all = new Components(data);
  const sheets = new Sheets(data.sheets, "sheet");
  const veils = new Sheets(data.sheets, "veils");
  const ALWAYS = ["name_auroc", "clarity", "stability", "images", "strength"];
  const RANGED = ["clarity", "name_auroc", "stability"];
  const [SIZE, SHOWN] = [25, 4];
  const measured = new Map(data.measures.map((measure) => [measure.key, measure]));
  const narrow = matchMedia("(max-width: 1079px)");
  let falling = false, first = 0, found = [], current = null;

  const option = (value, text) => make("option", { value }, text);
  at("sort").append(option("audit", "what matters first"), option("component", "Number"));
  at("sort").append(...data.measures.map(({ key, name }) => option(key, name)));
  at("kind").append(...data.kinds.map((kind, place) => option(place, kind)), option(-1, "none said"));
  for (const key of RANGED.filter((one) => measured.has(one))) {
    const { name } = measured.get(key);
    const end = (which) =>
      make("input", { type: "number", step: "any", "data-key": key, "data-end": which, "aria-label": `${name}, ${which}`, placeholder: which });
    at("ranges").append(make("span", { class: "range" }, make("label", {}, `${name} `), end("least"), " to ", end("most")));
  }
  if (data.absent.length) at("absent").textContent = `Not measured in this audit: ${data.absent.join(", ")}.`;
  if (narrow.matches) at("filters").open = false;

  const asked = () => {
    const ends = new Map();
    for (const input of at("ranges").querySelectorAll("input")) {
      if (input.value === "") continue;
      const { key, end } = input.dataset;
      ends.set(key, { ...ends.get(key), [end]: Number(input.value) });
    }
    return {
      text: at("text").value, kind: at("kind").value, fits: at("fits").value, part: at("part").value,
      ranges: [...ends].map(([key, { least, most }]) => [key, least, most]), sort: at("sort").value, falling,
    };
  };

  const worth = (row) => ({ true: "name fits", false: "no name fits", null: "name not measured" })[data.fits[row]];

  // A picture of a component.
  const cutOut = (row, column, about, gone) => {
    const cut = make("span", { class: "cut" });
    sheets.draw(cut, data.sheet[row], data.row[row], column, about, gone);
    return cut;
  };

  const entry = (row) => {
    const open = make("button", { type: "button", class: "open" }, all.name(row));
    open.addEventListener("click", () => lead(row));
    const about = [`component ${data.components[row]}`, all.kind(row), row in data.findings ? "in a finding" : ""];
    const line = make("tr", { "data-row": row }, make("th", { scope: "row" }, open, make("span", { class: "under" }, about.filter(Boolean).join(" · "))));
    const cuts = make("span", { class: "cuts", style: `--n:${Math.min(SHOWN, data.sheets.columns)}` });
    const sheet = data.sheet[row];
    // What the first cells of a row show; a row of fewer pictures leaves the rest of its sheet black.
    const pictures = sheet < 0 ? [] : JSON.parse(details[row])[5].slice(0, SHOWN);
    // Without veils, under which small pictures do not say what they are of.
    pictures.forEach((_, column) => cuts.append(cutOut(row, column, "", () => {})));
    line.append(make("td", {}, cuts));
    for (const key of columns()) line.append(make("td", { class: "n" }, number(all.values.get(key)[row])));
    return line;
  };

  const columns = () => {
    const always = ALWAYS.filter((key) => measured.has(key));
    const sort = at("sort").value;
    return always.includes(sort) || !measured.has(sort) ? always : [...always, sort];
  };

  const heads = () => {
    const cells = [make("th", { scope: "col" }, "Component"), make("th", { scope: "col" }, "Pictures")];
    for (const key of columns()) {
      const { name, meaning } = measured.get(key);
      const button = make("button", { type: "button", title: meaning }, name);
      button.addEventListener("click", () => {
        falling = at("sort").value === key ? !falling : true;
        at("sort").value = key;
        list();
        at("heads").querySelector("[aria-sort] button").focus();
      });
      const sorted = at("sort").value === key ? { "aria-sort": falling ? "descending" : "ascending" } : {};
      cells.push(make("th", { scope: "col", class: "n", ...sorted }, button));
    }
    at("heads").replaceChildren(...cells);
  };

  const turn = (start) => {
    first = Math.max(0, Math.min(start, SIZE * Math.floor((found.length - 1) / SIZE)));
    at("rows").replaceChildren(...found.slice(first, first + SIZE).map(entry));
    at("page").textContent = found.length
      ? `${number(first + 1)} to ${number(Math.min(first + SIZE, found.length))} of ${number(found.length)}` : "";
    at("previous").disabled = first === 0;
    at("next").disabled = first + SIZE >= found.length;
    mark();
  };

  const list = () => {
    found = all.rows(asked());
    heads();
    turn(0);
    at("turn").textContent = falling ? "largest first" : "smallest first";
    at("turn").hidden = at("sort").value === "audit";
    at("found").textContent = `${number(found.length)} of ${number(all.count)} components`;
  };

  const mark = () => {
    for (const line of at("rows").children) {
      line.toggleAttribute("aria-current", Number(line.dataset.row) === current);
    }
  };

  const table = (title, heads, rows) =>
    make("table", {}, make("caption", { class: "unseen" }, title),
      make("thead", {}, make("tr", {}, ...heads.map((head, place) => make("th", { scope: "col", ...(place ? { class: "n" } : {}) }, head)))),
      make("tbody", {}, ...rows.map(([head, ...cells]) => make("tr", {}, make("th", { scope: "row" }, head), ...cells.map((cell) => make("td", { class: "n" }, cell))))));

  const gallery = (row, pictures) => {
    if (!pictures.length) return [make("p", { class: "none" }, "No train image fires it.")];
    const sheet = data.sheet[row];
    const lost = make("p", { class: "none", hidden: "" }, `Its pictures are in ${PICTURES}/${sheets.file(sheet)}, which this page does not reach from here: open it where the audit was made.`);
    const gone = () => { lost.hidden = false; };
    const cuts = pictures.map(([image, label, place], column) => {
      const about = data.classes[label] ? `labelled ${data.classes[label]}` : "no label";
      const cut = cutOut(row, column, about, gone);
      cut.title = `${image}, ${about}`;
      if (place !== undefined) {
        const words = `what adds to component ${data.components[row]}: ${data.places[place]}`;
        cut.title += `; ${words}`;
        veils.draw(cut, sheet, data.row[row], column, words, gone);
      }
      return cut;
    });
    return [make("div", { class: "cuts" }, ...cuts), lost];
  };

  const link = (row, text) => {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => lead(row));
    return button;
  };

  const show = (row) => {
    current = row;
    const component = data.components[row];
    const [leads, counts, largest, classes, near, pictures] = JSON.parse(details[row]);
    const pills = [all.kind(row), worth(row), all.candidate.has(row) && "candidate for a shortcut", all.hidden.has(row) && "hidden concept"];
    const leave = make("button", { type: "button", class: "narrow" }, "Back to the list");
    leave.addEventListener("click", back);
    const parts = [
      leave,
      make("h2", { id: "one-name" }, all.name(row)),
      make("p", {}, `component ${component} `, ...pills.filter(Boolean).flatMap((text) => [make("span", { class: "kind" }, text), " "])),
      ...gallery(row, pictures),
    ];
    for (const finding of data.findings[row] ?? []) {
      const about = data.about_findings[finding];
      parts.push(make("p", {}, "Part of finding ", make("a", { href: `report.html#${encodeURIComponent(finding)}` }, finding), about ? ` (${about})` : ""));
    }
    if (data.told[row] >= 0) {
      const auroc = number(all.values.get("class_auroc")[row]);
      parts.push(make("p", {}, `Of classes it tells “${data.classes[data.told[row]]}” best (AUROC ${auroc}).`));
    }
    if (data.plain[row]) parts.push(make("p", {}, `Of plain pictures it answers to ${data.plain[row]} most.`));
    const next = data.runners[row].map((runner, place) => [data.names[runner], number(leads[place])]);
    if (next.length) parts.push(make("h3", {}, "Names next in rank"), table("Names next in rank", ["Name", "Behind by"], next));
    parts.push(make("h3", {}, "Activations"));
    if (counts.some(Boolean)) parts.push(...distribution(counts, largest, data.train));
    else parts.push(make("p", { class: "none" }, counts.length ? "No train image fires it." : "Not measured."));
    parts.push(make("h3", {}, "Classes it matters for"));
    if (classes.length) parts.push(table("Classes it matters for", ["Class", "Mean relevance"], classes.map(([label, mean]) => [data.classes[label], number(mean)])));
    else parts.push(make("p", { class: "none" }, measured.has("relevance") ? "None." : "Not measured."));
    parts.push(make("h3", {}, "Neighbours"));
    const others = near.filter(([other]) => all.rowOf.has(other)).map(([other, cosine]) => {
      const place = all.rowOf.get(other);
      return [link(place, `${all.name(place)} (${other})`), number(cosine)];
    });
    if (others.length) parts.push(table("Neighbours", ["Component", "Cosine"], others));
    else parts.push(make("p", { class: "none" }, "Not measured."));
    parts.push(make("h3", {}, "Measures"), table("Measures", ["Measure", "Value"], data.measures.map(({ name, meaning, values }) => {
      const head = make("span", {}, name, make("span", { class: "under" }, meaning));
      return [head, values[row] === null ? "not measured" : number(values[row])];
    })));
    at("one").replaceChildren(...parts);
    at("one").scrollTop = 0;
    if (location.protocol !== "blob:") history.replaceState(null, "", `#${component}`);
    mark();
  };

  // Show one and go there.
  const lead = (row) => {
    show(row);
    at("one").focus({ preventScroll: true });
    if (narrow.matches) at("one").scrollIntoView();
  };

  // Up or down the list, over its pages.
  const move = (step) => {
    const place = found.indexOf(current) + step;
    if (place < 0 || place >= found.length) return;
    if (place < first || place >= first + SIZE) turn(SIZE * Math.floor(place / SIZE));
    show(found[place]);
    back();
  };

  const back = () => {
    const line = at("rows").querySelector("[aria-current]") ?? at("rows").firstElementChild;
    line?.querySelector("button").focus();
  };

  const KEYS = { j: () => move(1), k: () => move(-1), n: () => turn(first + SIZE), p: () => turn(first - SIZE), Escape: back, "/": () => at("text").focus() };
  document.addEventListener("keydown", (event) => {
    const typed = event.target.matches("input:not([type=checkbox]), select");
    const arrow = { ArrowDown: "j", ArrowUp: "k" }[event.key];
    const key = arrow && event.target.closest("#rows") ? arrow : event.key;
    if (event.ctrlKey || event.metaKey || event.altKey || !(key in KEYS) || (typed && key !== "Escape")) return;
    event.preventDefault();
    KEYS[key]();
  });
  // A form of several fields and no button to send it does nothing with Enter.
  at("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !found.length) return;
    event.preventDefault();
    turn(0);
    show(found[0]);
    back();
  });
  at("ask").addEventListener("input", (event) => {
    // Numbers and names begin with what is largest, or with the first.
    if (event.target === at("sort")) falling = measured.has(at("sort").value);
    list();
  });
  at("ask").addEventListener("reset", () => setTimeout(() => { falling = false; list(); }));
  at("turn").addEventListener("click", () => { falling = !falling; list(); });
  at("previous").addEventListener("click", () => turn(first - SIZE));
  at("next").addEventListener("click", () => turn(first + SIZE));
  const led = () => all.rowOf.get(Number(location.hash.slice(1) || NaN));
  addEventListener("hashchange", () => { if (led() !== undefined) show(led()); });
  list();
  if (found.length) show(led() ?? found[0]);
})();
