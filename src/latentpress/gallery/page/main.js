// Puts the parts together when the data have come, and keeps what is shown in the address, so that it can be kept as a bookmark.

const KEYS = [
  ["arrows, Home, End, Page Up, Page Down", "go from cell to cell, also in the full picture"], ["Enter", "the full picture"], ["Esc", "back"],
  ["s", "exchange rows and columns"], ["/", "search"], ["d", "light or dark"], ["[ and ]", "smaller and larger cells"],
  ["c", "compare with another picture"], [", and .", "move the slider"], ["x", "exchange the two"], ["m", "mark this picture to compare others with"],
  ["+ and -, 0, 1", "zoom, fit, pixel by pixel"], ["y", "copy the settings"], ["?", "this list"],
];
const THEMES = { "light dark": "Auto", light: "Light", dark: "Dark" };

window.latentpressGallery = (data) => {
  const model = new Model(data);
  const asked = new URLSearchParams(location.hash.slice(1));
  const place = (key) => model.many.find((axis) => axis.key === key)?.place ?? NONE;
  const view = {
    ...(asked.has("rows") || asked.has("columns") ? { rows: place(asked.get("rows")), columns: place(asked.get("columns")) } : model.usual()),
    given: new Map(), filters: new Map(), hidden: new Set((asked.get("hide") || "").split(" ").filter(Boolean)),
    search: asked.get("search") || "", side: Number(asked.get("size")) || (innerWidth < 600 ? 96 : 144),
  };
  for (const [key, text] of asked)
    if (key.startsWith("is ") && place(key.slice(3)) !== NONE) {
      const code = model.axes[place(key.slice(3))].values.indexOf(text);
      if (code >= 0) view.given.set(place(key.slice(3)), code);
    } else if (key === "any" && place(text) !== NONE) view.given.set(place(text), ANY);
  const byId = (id) => document.getElementById(id);
  const grid = new Grid(byId("grid"), model, (id) => viewer.open(id));
  const controls = new Controls(byId("controls"), model, view, (what) => (what === "size" ? resize(Number(controls.size.value)) : show()));
  const viewer = new Viewer(model, beside, (id) => {
    const where = grid.table.where(id);
    if (where) grid.focus(...where);
  });

  // The cell so many rows and columns from another; along a place with several, one by one.
  function beside(id, rows, columns) {
    const { table } = grid, where = table.where(id);
    if (!where) return undefined;
    const here = table.at(...where), next = here[here.indexOf(id) + columns];
    if (columns && next !== undefined) return next;
    for (let [row, column] = where; ;) {
      [row, column] = [row + rows, column + columns];
      if (table.wall && column < 0) [row, column] = [row - 1, table.columns - 1];
      if (table.wall && column >= table.columns) [row, column] = [row + 1, 0];
      if (row < 0 || column < 0 || row >= table.rows || column >= table.columns) return undefined;
      const [found] = table.at(row, column);
      if (found !== undefined) return found;
    }
  }

  function show() {
    view.filters = model.chosen(view, view.given);
    grid.side = view.side;
    const table = model.table(view, grid.wide);
    grid.show(table);
    controls.update();
    byId("empty").hidden = table.shown.length > 0;
    const total = model.cells.length.toLocaleString("en");
    const states = data.states.filter((state) => state !== "done" && controls.counts.has(state)).map((state) => `${controls.counts.get(state).toLocaleString("en")} ${state}`);
    // What a filter that nobody chose hides is not to be missed.
    const alone = [...view.filters].filter(([axis, code]) => code !== ANY && !view.given.has(axis)).map(([axis, code]) => {
      const text = plain(model.axes[axis].values[code]) || "(none)";
      return `${named(model.axes[axis].key)} ${text.length > 40 ? `${text.slice(0, 39)}…` : text} only`;
    });
    byId("counts").textContent = [`${table.shown.length.toLocaleString("en")} of ${total} shown`, ...alone, ...states].join(", ");
    remember();
  }

  function resize(side) {
    view.side = Math.max(48, Math.min(320, side));
    show();
  }

  function remember() {
    const hash = new URLSearchParams();
    hash.set("rows", model.axes[view.rows]?.key ?? "");
    hash.set("columns", model.axes[view.columns]?.key ?? "");
    for (const [axis, code] of view.given)
      if (code === ANY) hash.append("any", model.axes[axis].key);
      else hash.set(`is ${model.axes[axis].key}`, model.axes[axis].values[code]);
    if (view.hidden.size) hash.set("hide", [...view.hidden].join(" "));
    if (view.search) hash.set("search", view.search);
    hash.set("size", view.side);
    try {
      history.replaceState(null, "", `#${hash}`);
    } catch { /* some browsers refuse this for pages from the disk */ }
  }

  function paint(theme) {
    document.documentElement.style.colorScheme = theme;
    byId("theme").textContent = THEMES[theme];
    stored("theme", theme);
  }

  function turn() {
    const names = Object.keys(THEMES), now = document.documentElement.style.colorScheme;
    paint(names[(names.indexOf(now) + 1) % names.length]);
  }

  const help = make("dialog", { class: "keys", "aria-label": "Keys" }, make("h2", {}, "Keys"),
    make("dl", {}, ...KEYS.map(([keys, what]) => make("div", {}, make("dt", {}, keys), make("dd", {}, what)))),
    make("form", { method: "dialog" }, make("button", {}, "Close")));
  document.body.append(help);

  function fold(open) {
    byId("controls").hidden = !open;
    byId("fold").setAttribute("aria-expanded", String(open));
  }

  document.title = plain(`${data.title}: gallery`);
  byId("title").textContent = plain(data.title);
  byId("apart").textContent = data.apart.map((line) => plain(`${line[0].toUpperCase()}${line.slice(1)}.`)).join(" ");
  byId("apart").hidden = !data.apart.length;
  byId("theme").addEventListener("click", turn);
  byId("help").addEventListener("click", () => help.showModal());
  byId("fold").addEventListener("click", () => fold(byId("controls").hidden));
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey || event.ctrlKey || document.querySelector("dialog[open]")) return;
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.key !== "Escape") return;
    const actions = {
      s: () => controls.exchange(), d: turn, "?": () => help.showModal(), "[": () => resize(view.side - 16), "]": () => resize(view.side + 16),
      "/": () => { fold(true); controls.search.focus(); }, Escape: () => grid.focus(...grid.active),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  });
  let width = innerWidth;
  grid.onresize = () => {
    if (grid.table.wall ? grid.table.columns !== Math.min(grid.wide, grid.table.shown.length) : (width < 600) !== (innerWidth < 600)) show();
    width = innerWidth;
  };
  paint(stored("theme") in THEMES ? stored("theme") : "light dark");
  if (innerWidth < 600) fold(false);
  show();
};
