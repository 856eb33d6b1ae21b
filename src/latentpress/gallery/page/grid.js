// The grid: headers that stay, and of the cells those in sight alone. The page has as many elements with ten cells as with a
// million; the scroll bar is that of a box as large as all of them.

const GAP = 6;
// Scrolled faster than so many pixels a millisecond, or farther than a cell from one picture of the screen to the next, cells
// are empty boxes, until the grid has been at rest for so many milliseconds.
const FAST = 3;
const SETTLED = 100;

class Grid {
  constructor(home, model, open) {
    Object.assign(this, { home, model, open, side: 144, active: [0, 0], heads: new Map(), sides: new Map(), lines: new Map() });
    this.corner = make("div", { class: "corner" });
    this.top = make("div", { class: "top", role: "row" });
    this.left = make("div", { class: "left", role: "presentation" });
    this.body = make("div", { class: "body", role: "presentation" });
    this.table_ = make("div", { class: "table", role: "grid", "aria-label": "Pictures" }, this.corner, this.top, this.left, this.body);
    home.replaceChildren(this.table_);
    this.fast = this.moving = this.waiting = false;
    this.loading = new Loading(() => (this.fast ? 0 : this.moving ? MOVING : AT_REST));
    this.cells = new Cells(model, this.loading);
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
    this.table_.style.setProperty("--step", `${this.step}px`);
    this.table_.setAttribute("aria-rowcount", table.rows + (table.wall ? 0 : 1));
    this.table_.setAttribute("aria-colcount", table.columns + (table.wall ? 0 : 1));
    const axes = [table.rowAxis, table.columnAxis].map((axis) => (axis ? named(axis.key) : ""));
    this.corner.replaceChildren(make("span", {}, axes[1] && `${axes[1]} →`), make("span", {}, axes[0] && `${axes[0]} ↓`));
    for (const map of [this.heads, this.sides, this.lines]) map.clear();
    for (const home of [this.body, this.top, this.left]) home.replaceChildren();
    this.loading.clear();
    this.fast = false;
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
    const now = performance.now(), { scrollTop, scrollLeft } = this.home, [top, left] = this.from ?? [scrollTop, scrollLeft];
    const far = Math.max(Math.abs(scrollTop - top), Math.abs(scrollLeft - left));
    // What the keys went to is drawn already, however far that was.
    const drawn = this.drawn?.[0] === scrollTop && this.drawn[1] === scrollLeft;
    this.fast = !drawn && (far > this.step || far > FAST * (now - (this.before ?? now)));
    this.moving = !drawn;
    [this.before, this.from] = [now, [scrollTop, scrollLeft]];
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      this.fast = this.moving = false;
      this.soon();
    }, SETTLED);
    this.soon();
  }

  resized() {
    if (!this.table) return;
    if (this.onresize) this.onresize();
    this.soon();
  }

  // Fill what left sight for what came into it; the cell with the focus stays wherever it is.
  draw() {
    const { home, table, step } = this;
    if (!table) return;
    const margin = step;
    const range = (from, size, count) => [
      Math.max(0, Math.floor((from - margin) / step)), Math.min(count, Math.ceil((from + size + margin) / step)),
    ];
    const [top, bottom] = range(home.scrollTop, home.clientHeight - this.head, table.rows);
    const [first, last] = range(home.scrollLeft, home.clientWidth - this.edge, table.columns);
    this.body.classList.toggle("fast", this.fast);
    if (!this.fast) {
      this.#lines(top, bottom, first, last);
      this.loading.go();
    }
    if (table.wall) return;
    this.#labels(this.heads, this.top, first, last, "left", (place) => table.column(place), "columnheader");
    this.#labels(this.sides, this.left, top, bottom, "top", (place) => table.row(place), "rowheader");
  }

  // Bring `map` (place -> element, or a line of them) to the places that are wanted: fill(place, old) gives what stands there,
  // made of what left its place or anew; drop(old) is told of what is of no more use.
  #reuse(map, wanted, fill, drop) {
    const left = [...map.keys()].filter((place) => !wanted.has(place));
    for (const place of wanted) {
      if (map.has(place)) continue;
      const from = left.pop(), old = map.get(from);
      map.delete(from);
      map.set(place, fill(place, old));
    }
    for (const place of left) {
      drop(map.get(place));
      map.delete(place);
    }
  }

  #lines(top, bottom, first, last) {
    const { table, active: [row, column], lines } = this;
    const wanted = new Set(span(top, bottom));
    if (row < table.rows) wanted.add(row);
    const fill = (old, number, at) => this.cells.fill(old, table, number, at, this.side, number === row && at === column);
    const place = (number, old) => {
      const line = old ?? { element: make("div", { class: "row", role: "row" }), cells: new Map() };
      line.element.style.top = `${number * this.step + GAP}px`;
      line.element.setAttribute("aria-rowindex", number + (table.wall ? 1 : 2));
      if (!old) this.body.append(line.element);
      for (const [at, element] of line.cells) fill(element, number, at);
      return line;
    };
    this.#reuse(lines, wanted, place, (line) => {
      for (const element of line.cells.values()) this.cells.drop(element);
      line.element.remove();
    });
    for (const [number, line] of lines) {
      const within = new Set(number >= top && number < bottom ? span(first, Math.min(last, table.wideAt(number))) : []);
      if (number === row && column < table.wideAt(row)) within.add(column);
      this.#reuse(line.cells, within, (at, old) => {
        const element = fill(old, number, at);
        element.style.left = `${at * this.step + GAP}px`;
        if (!old) line.element.append(element);
        return element;
      }, (element) => this.cells.drop(element));
    }
  }

  #labels(map, home, first, last, edge, text, role) {
    this.#reuse(map, new Set(span(first, last)), (place, old) => {
      const label = plain(text(place)), element = old ?? make("div", { class: "label", role }, make("span", { dir: "auto" }));
      element.title = label;
      element.firstChild.textContent = label || "(none)";
      element.style[edge] = `${place * this.step + GAP}px`;
      if (!old) home.append(element);
      return element;
    }, (element) => element.remove());
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
    const old = this.#at(...this.active);
    if (old) old.tabIndex = -1;
    // It may be filled again for the cell that gets the focus, which a screen reader has to be told.
    if (take) old?.blur();
    this.active = [Math.max(0, Math.min(table.rows - 1, row)), Math.max(0, Math.min(table.columns - 1, column))];
    this.#reveal(...this.active);
    this.drawn = [this.home.scrollTop, this.home.scrollLeft];
    this.fast = false;
    this.draw();
    const element = this.#at(...this.active);
    if (!element) return;
    element.tabIndex = 0;
    if (take) element.focus({ preventScroll: true });
  }

  #at(row, column) { return this.lines.get(row)?.cells.get(column); }

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
