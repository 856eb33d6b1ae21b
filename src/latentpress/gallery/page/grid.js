// The grid: headers that stay, and of the cells those in sight alone. The page has as many elements with ten cells as with a
// million; the scroll bar is that of a box as large as all of them.

const GAP = 6;
// Thumbnails are loaded a few each frame, and while the grid is scrolled slower than this, in pixels a millisecond; what only
// flies by is not loaded at all.
const AT_A_TIME = 4;
const FAST = 3;
const SETTLED = 120;

class Grid {
  constructor(home, model, open) {
    Object.assign(this, { home, model, open, side: 144, active: [0, 0], elements: new Map(), heads: new Map(), sides: new Map() });
    this.corner = make("div", { class: "corner" });
    this.top = make("div", { class: "top", role: "row" });
    this.left = make("div", { class: "left", role: "presentation" });
    this.body = make("div", { class: "body", role: "presentation" });
    this.table_ = make("div", { class: "table", role: "grid", "aria-label": "Pictures" }, this.corner, this.top, this.left, this.body);
    home.replaceChildren(this.table_);
    this.waiting = false;
    this.queue = [];
    home.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.resized()).observe(home);
    this.body.addEventListener("click", (event) => this.#clicked(event));
    this.table_.addEventListener("keydown", (event) => this.#key(event));
  }

  get step() { return this.side + GAP; }

  // How many cells a wall has beside each other.
  get wide() { return Math.max(1, Math.floor((this.home.clientWidth - GAP) / this.step)); }

  show(table) {
    this.table = table;
    const narrow = this.home.clientWidth < 600;
    this.edge = table.wall ? 0 : Math.round(narrow ? 76 : Math.min(200, Math.max(96, this.side)));
    this.head = table.wall ? 0 : 52;
    this.table_.classList.toggle("wall", table.wall);
    this.table_.style.gridTemplate = `${this.head}px ${table.rows * this.step + GAP}px / ${this.edge}px ${table.columns * this.step + GAP}px`;
    this.table_.style.setProperty("--side", `${this.side}px`);
    this.table_.setAttribute("aria-rowcount", table.rows + (table.wall ? 0 : 1));
    this.table_.setAttribute("aria-colcount", table.columns + (table.wall ? 0 : 1));
    const axes = [table.rowAxis, table.columnAxis].map((axis) => (axis ? named(axis.key) : ""));
    this.corner.replaceChildren(make("span", {}, axes[1] && `${axes[1]} →`), make("span", {}, axes[0] && `${axes[0]} ↓`));
    for (const [map, home] of [[this.elements, this.body], [this.heads, this.top], [this.sides, this.left]]) {
      map.clear();
      home.replaceChildren();
    }
    this.active = [Math.min(this.active[0], Math.max(0, table.rows - 1)), Math.min(this.active[1], Math.max(0, table.columns - 1))];
    this.draw();
  }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  #scrolled() {
    const now = performance.now(), at = this.home.scrollTop + this.home.scrollLeft;
    this.fast = Math.abs(at - (this.from ?? at)) > FAST * (now - (this.before ?? now));
    [this.before, this.from] = [now, at];
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      this.fast = false;
      this.soon();
    }, SETTLED);
    this.soon();
  }

  // Load some of the thumbnails that are still on the page.
  #load() {
    this.queue = this.queue.filter((picture) => picture.isConnected);
    if (this.fast) return;
    const few = this.before === undefined || performance.now() - this.before > SETTLED ? 4 * AT_A_TIME : AT_A_TIME;
    for (const picture of this.queue.splice(0, few)) picture.src = picture.dataset.src;
    if (this.queue.length) this.soon();
  }

  resized() {
    if (!this.table) return;
    if (this.onresize) this.onresize();
    this.soon();
  }

  // Put in what came into sight, take out what left it; the cell with the focus stays wherever it is.
  draw() {
    const { home, table, step } = this;
    if (!table) return;
    const margin = step;
    const range = (from, size, count) => [
      Math.max(0, Math.floor((from - margin) / step)), Math.min(count, Math.ceil((from + size + margin) / step)),
    ];
    const [top, bottom] = range(home.scrollTop, home.clientHeight - this.head, table.rows);
    const [first, last] = range(home.scrollLeft, home.clientWidth - this.edge, table.columns);
    const wanted = new Set();
    const add = [];
    for (let row = top; row < bottom; row++)
      for (let column = first; column < last; column++) add.push([row, column]);
    if (table.rows && table.columns) add.push(this.active);
    for (const [row, column] of add) {
      const key = `${row} ${column}`;
      wanted.add(key);
      if (this.elements.has(key)) continue;
      const element = this.#cell(row, column);
      if (!element) continue;
      this.elements.set(key, element);
      this.body.append(element);
    }
    this.#drop(this.elements, wanted);
    this.#load();
    if (table.wall) return;
    this.#labels(this.heads, this.top, first, last, "left", (place) => table.column(place), "columnheader");
    this.#labels(this.sides, this.left, top, bottom, "top", (place) => table.row(place), "rowheader");
  }

  #drop(map, wanted) {
    for (const [key, element] of map)
      if (!wanted.has(key)) {
        element.remove();
        // What is decoded may go at once.
        element.querySelector("img")?.removeAttribute("src");
        map.delete(key);
      }
  }

  #labels(map, home, first, last, edge, text, role) {
    const wanted = new Set();
    for (let place = first; place < last; place++) {
      wanted.add(place);
      if (map.has(place)) continue;
      const label = plain(text(place));
      const element = make("div", { class: "label", role, title: label }, make("span", { dir: "auto" }, label || "(none)"));
      element.style[edge] = `${place * this.step + GAP}px`;
      map.set(place, element);
      home.append(element);
    }
    this.#drop(map, wanted);
  }

  #cell(row, column) {
    const { model, table } = this;
    const ids = table.at(row, column);
    if (table.wall && !ids.length) return null;
    const active = row === this.active[0] && column === this.active[1];
    const element = make("div", {
      class: "cell", role: "gridcell", tabindex: active ? 0 : -1, "data-row": row, "data-column": column,
      "aria-rowindex": row + (table.wall ? 1 : 2), "aria-colindex": column + (table.wall ? 1 : 2),
    });
    element.style.transform = `translate(${column * this.step + GAP}px, ${row * this.step + GAP}px)`;
    if (!ids.length) {
      const planned = table.planned_at(row, column);
      const numbered = !table.rowAxis || !table.columnAxis;
      element.classList.add(planned || numbered ? "filtered" : "excluded");
      const why = planned ? "hidden by the filters" : "not planned";
      if (!numbered) element.title = why;
      element.setAttribute("aria-label", numbered ? "empty" : why);
      return element;
    }
    const [id] = ids, state = model.state(id), alt = plain(model.text(id, ALT));
    element.classList.add(state);
    element.dataset.id = id;
    element.title = plain(model.text(id, OUTPUT));
    if (state === "done") {
      const picture = make("img", { "data-src": model.thumbnail(id), alt, decoding: "async", draggable: "false" });
      this.queue.push(picture);
      if (model.cells[id][WIDTH] <= this.side / 2) picture.classList.add("sharp");
      picture.addEventListener("error", () => {
        if (picture.isConnected) picture.src = model.source(id);
      }, { once: true });
      element.append(picture);
    } else {
      const reason = plain(model.text(id, REASON));
      element.setAttribute("aria-label", alt);
      element.append(make("b", {}, state), make("span", { dir: "auto", class: "why" }, reason || (state === "waiting" ? "not rendered yet" : state === "missing" ? "the file is gone" : "")));
    }
    if (ids.length > 1) element.append(make("i", { title: `${ids.length} pictures here` }, `1/${ids.length}`));
    if (table.wall) element.append(make("small", { dir: "auto" }, plain(model.text(id, OUTPUT))));
    return element;
  }

  #clicked(event) {
    const element = event.target.closest(".cell");
    if (!element) return;
    this.focus(Number(element.dataset.row), Number(element.dataset.column));
    if (element.dataset.id !== undefined) this.open(Number(element.dataset.id));
  }

  // Make a place the active one, bring it into sight, and give it the focus.
  focus(row, column, take = true) {
    const { table } = this;
    const old = this.elements.get(this.active.join(" "));
    if (old) old.tabIndex = -1;
    this.active = [Math.max(0, Math.min(table.rows - 1, row)), Math.max(0, Math.min(table.columns - 1, column))];
    this.#reveal(...this.active);
    this.draw();
    const element = this.elements.get(this.active.join(" "));
    if (!element) return;
    element.tabIndex = 0;
    if (take) element.focus({ preventScroll: true });
  }

  #reveal(row, column) {
    const { home, step } = this;
    const seen = (from, size, place) => Math.min(place * step, Math.max(from, (place + 1) * step + GAP - size));
    const top = seen(home.scrollTop, home.clientHeight - this.head, row);
    const left = seen(home.scrollLeft, home.clientWidth - this.edge, column);
    if (top !== home.scrollTop || left !== home.scrollLeft) home.scrollTo({ top, left, behavior: "instant" });
  }

  #key(event) {
    const [row, column] = this.active, { table } = this;
    if (event.altKey || event.metaKey || !table.rows) return;
    const page = Math.max(1, Math.floor((this.home.clientHeight - this.head) / this.step));
    const far = event.ctrlKey;
    const moves = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      PageUp: [row - page, column], PageDown: [row + page, column],
      Home: [far ? 0 : row, 0], End: [far ? table.rows - 1 : row, table.columns - 1],
    };
    if (event.key === "Enter" || event.key === " ") {
      const [id] = table.at(row, column);
      if (id !== undefined) this.open(id);
    } else if (event.key in moves) this.focus(...moves[event.key]);
    else return;
    event.preventDefault();
  }
}
