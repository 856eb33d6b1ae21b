// Cells, axes, and what stands where when two of the axes are rows and columns. Touches no page.

// So much larger than it is a picture may be drawn before a larger one is loaded.
const ENOUGH = 1.1;

class Model {
  constructor(data) {
    this.data = data;
    this.cells = data.cells;
    this.texts = data.texts;
    this.axes = data.axes.map((key) => this.#axis(key, data.keys.indexOf(key)));
    if (data.folderKey) this.axes.push(this.#axis(data.folderKey, null));
    this.folder = data.folderKey ? this.axes.length - 1 : NONE;
    this.axes.forEach((axis, place) => { axis.place = place; });
    this.common = this.axes.filter((axis) => axis.place === this.folder || data.common.includes(axis.key));
    this.many = this.axes.filter((axis) => axis.values.length > 1);
    this.words = new Array(this.cells.length);
  }

  // values: the texts of an axis in the order of the plan; codes: cell -> which of them; within: value -> the folders that have
  // it; folders: those that have the axis.
  #axis(key, label) {
    const found = new Map(), codes = new Int32Array(this.cells.length), values = [], within = [], folders = new Set();
    this.cells.forEach((cell, id) => {
      const own = label === null ? cell[FOLDER] : cell[LABELS + label];
      if (!found.has(own)) {
        found.set(own, values.length);
        values.push(label === null ? this.data.folders[own].name : own < 0 ? "" : this.texts[own]);
        within.push(new Set());
      }
      codes[id] = found.get(own);
      within[codes[id]].add(cell[FOLDER]);
      if (own >= 0) folders.add(cell[FOLDER]);
    });
    return { key, values, codes, within, folders };
  }

  text(id, part) { return this.texts[this.cells[id][part]]; }
  state(id) { return this.data.states[this.cells[id][STATE]]; }
  source(id) { return this.data.folders[this.cells[id][FOLDER]].root + this.text(id, URL_PATH); }
  // The URL of a picture made small, for a place of so many pixels of the screen.
  thumbnail(id, pixels) {
    const name = this.cells[id][PIXELS], [small, large] = this.data.thumbnails;
    if (!name) return this.source(id);
    const [width, height] = [this.cells[id][WIDTH], this.cells[id][HEIGHT]];
    const side = pixels <= ENOUGH * small || Math.max(width, height) <= small ? small : large;
    return `thumbs/${name.slice(0, 2)}/${name}-${side}.webp`;
  }
  label(id, axis) { return axis.values[axis.codes[id]]; }

  // [key, text] of all that is known of a cell's job: axes first.
  settings(id) {
    const cell = this.cells[id], found = [];
    const own = new Set(["prompt", "negative_prompt"]);
    found.push(["prompt", this.text(id, PROMPT)], ["negative_prompt", this.text(id, NEGATIVE)]);
    for (const axis of this.axes) {
      if (!own.has(axis.key)) found.push([axis.key, this.label(id, axis)]);
      own.add(axis.key);
    }
    if (!own.has("seed") || this.text(id, SEED) !== found.find(([key]) => key === "seed")?.[1])
      found.push([own.has("seed") ? "seed's number" : "seed", this.text(id, SEED)]);
    own.add("seed");
    this.data.keys.forEach((key, place) => {
      if (!own.has(key) && cell[LABELS + place] >= 0) found.push([key, this.texts[cell[LABELS + place]]]);
    });
    found.push(["pixels", `${cell[WIDTH]}x${cell[HEIGHT]}`]);
    if (cell[FIGURES]) {
      this.data.figures.forEach((name, place) => {
        const value = cell[FIGURES][place];
        if (value !== null) found.push([name, String(value)]);
      });
    }
    if (cell[SECONDS]) found.push(["seconds", String(cell[SECONDS])]);
    found.push(["file", this.text(id, OUTPUT)], ["job", cell[JOB]], ["pixel sha256", cell[PIXELS]]);
    return found.filter(([, text]) => text !== "");
  }

  // Rows and columns for a plan that says nothing of them: two axes that cross each other, the longer one as rows.
  usual() {
    const { data, many, folder } = this;
    const [rows, columns] = [data.rows, data.columns].map((key) => data.axes.indexOf(key));
    const shared = (place) => this.common.some((axis) => axis.place === place && axis.values.length > 1);
    // Folders that differ in their axes stand beside each other along what both have, so that neither is hidden.
    if (folder !== NONE && data.axes.some((_, place) => !shared(place) && this.axes[place].values.length > 1)) {
      const along = [columns, rows, ...data.axes.keys()].find((place) => place !== NONE && shared(place)) ?? NONE;
      return along === rows && along !== NONE ? { rows, columns: folder } : { rows: folder, columns: along };
    }
    // A side that the plan leaves free shows the folders, where there are several.
    if (rows >= 0 || columns >= 0) return { rows: rows >= 0 ? rows : folder, columns: columns >= 0 ? columns : folder };
    for (const [number, one] of many.entries())
      for (const other of many.slice(number + 1)) {
        const pairs = new Set();
        for (let id = 0; id < this.cells.length; id++) pairs.add(one.codes[id] * other.values.length + other.codes[id]);
        const longest = Math.max(one.values.length, other.values.length);
        if (pairs.size > longest && pairs.size > 0.3 * one.values.length * other.values.length) {
          const [row, column] = one.values.length >= other.values.length ? [one, other] : [other, one];
          return { rows: row.place, columns: column.place };
        }
      }
    return { rows: NONE, columns: NONE };
  }

  // Where a place would hold several cells, the first value of each axis that tells them apart, of those that all folders
  // have, and any where they share none; given: chosen by hand.
  chosen(view, given) {
    const filters = new Map([...given].filter(([axis]) => axis !== view.rows && axis !== view.columns));
    if (view.rows === NONE || view.columns === NONE) return filters;
    const rows = this.axes[view.rows], columns = this.axes[view.columns];
    for (const axis of this.many) {
      if (filters.has(axis.place) || axis === rows || axis === columns) continue;
      const seen = new Map();
      for (let id = 0; id < this.cells.length; id++) {
        if (!this.#passes(id, filters)) continue;
        const place = rows.codes[id] * columns.values.length + columns.codes[id];
        const before = seen.get(place);
        if (before !== undefined && before !== axis.codes[id]) {
          filters.set(axis.place, this.#first(axis));
          break;
        }
        seen.set(place, axis.codes[id]);
      }
    }
    return filters;
  }

  #first(axis) {
    if (axis.place === this.folder) return 0;
    return axis.within.findIndex((having) => [...axis.folders].every((folder) => having.has(folder)));
  }

  // A folder without an axis is not hidden by a filter of it.
  #passes(id, filters) {
    for (const [place, value] of filters) {
      const axis = this.axes[place];
      if (value !== ANY && axis.codes[id] !== value && axis.folders.has(this.cells[id][FOLDER])) return false;
    }
    return true;
  }

  #found(id, words) {
    if (!words.length) return true;
    this.words[id] ??= this.settings(id).map(([, text]) => text).concat(this.text(id, REASON)).join("\n").toLowerCase();
    return words.every((word) => this.words[id].includes(word));
  }

  // What the page shows of `view`: rows, columns (values of their axes, or numbers) and the cells at each place.
  table(view, width) {
    const words = view.search.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = this.axes[view.rows], columns = this.axes[view.columns];
    const planned = new Set(), shown = [];
    for (let id = 0; id < this.cells.length; id++) {
      if (!this.#passes(id, view.filters)) continue;
      if (rows && columns) planned.add(rows.codes[id] * columns.values.length + columns.codes[id]);
      if (!view.hidden.has(this.state(id)) && this.#found(id, words)) shown.push(id);
    }
    const cells = new Map();
    if (!rows && !columns) {
      shown.forEach((id, place) => cells.set(place, [id]));
      return new Table(this, { wall: true, rows: Math.ceil(shown.length / width), columns: Math.min(width, shown.length), cells, shown });
    }
    // All values, though nothing may be planned for some, but of a search only those that have a hit.
    const every = !words.length && !view.hidden.size;
    const used = (axis) => axis.values.map((_, code) => code).filter((code) => every || this.#has(axis, shown).has(code));
    const rowCodes = rows && used(rows), columnCodes = columns && used(columns);
    const rowPlace = rows && new Map(rowCodes.map((code, place) => [code, place]));
    const columnPlace = columns && new Map(columnCodes.map((code, place) => [code, place]));
    const counts = new Map();
    let longest = 0;
    const next = (code) => {
      const place = counts.get(code) || 0;
      counts.set(code, place + 1);
      longest = Math.max(longest, place + 1);
      return place;
    };
    const wide = columns ? columnCodes.length : shown.length;
    for (const id of shown) {
      const row = rows ? rowPlace.get(rows.codes[id]) : next(columns.codes[id]);
      const column = columns ? columnPlace.get(columns.codes[id]) : next(rows.codes[id]);
      const place = row * wide + column;
      if (cells.has(place)) cells.get(place).push(id);
      else cells.set(place, [id]);
    }
    return new Table(this, {
      rows: rows ? rowCodes.length : longest, columns: columns ? columnCodes.length : longest,
      wide, cells, shown, rowAxis: rows, columnAxis: columns, rowCodes, columnCodes, planned,
    });
  }

  #has(axis, shown) {
    if (this.cache?.axis !== axis || this.cache.shown !== shown)
      this.cache = { axis, shown, codes: new Set(shown.map((id) => axis.codes[id])) };
    return this.cache.codes;
  }

  // The cell that differs from `id` in one axis alone, or is like it in another folder; undefined where none is.
  sibling(id, axis, code) {
    if (axis.place === this.folder) return this.#counterpart(id, code);
    let nearly;
    for (let other = 0; other < this.cells.length; other++) {
      if (axis.codes[other] !== code) continue;
      const tied = this.axes.every((one) => one === axis || one.codes[other] === one.codes[id]);
      if (tied) return other;
      // An axis that moves together with this one, as a prompt does with its style, may differ too.
      if (nearly === undefined && this.axes.every((one) => one === axis || one.codes[other] === one.codes[id] || this.#moves(one, axis)))
        nearly = other;
    }
    return nearly;
  }

  // The cell of a folder that is like `id` in all axes of which the folders share values, best with the same file name; by the
  // name alone where they share none.
  #counterpart(id, folder) {
    const tied = this.common.filter((axis) => axis.place !== this.folder);
    let first;
    for (let other = 0; other < this.cells.length; other++) {
      if (this.axes[this.folder].codes[other] !== folder || !tied.every((axis) => axis.codes[other] === axis.codes[id])) continue;
      if (this.cells[other][OUTPUT] === this.cells[id][OUTPUT]) return other;
      if (tied.length) first ??= other;
    }
    return first;
  }

  #moves(one, axis) {
    this.pairs ??= new Map();
    const key = `${one.place} ${axis.place}`;
    if (!this.pairs.has(key)) {
      const first = new Map();
      let moves = false;
      const rest = this.axes.filter((other) => other !== one && other !== axis);
      for (let id = 0; id < this.cells.length && !moves; id++) {
        const others = rest.map((other) => other.codes[id]).join(" ");
        if (first.has(others) && first.get(others) !== one.codes[id]) moves = true;
        first.set(others, one.codes[id]);
      }
      this.pairs.set(key, moves);
    }
    return this.pairs.get(key);
  }
}

// Places in rows and columns; both numbers from 0.
class Table {
  constructor(model, parts) { Object.assign(this, { model, wall: false }, parts); }
  at(row, column) { return this.cells.get(row * (this.wall ? this.columns : this.wide) + column) || []; }
  planned_at(row, column) {
    if (this.wall || !this.rowAxis || !this.columnAxis) return false;
    return this.planned.has(this.rowCodes[row] * this.columnAxis.values.length + this.columnCodes[column]);
  }
  row(place) { return this.rowAxis ? this.rowAxis.values[this.rowCodes[place]] : String(place + 1); }
  column(place) { return this.columnAxis ? this.columnAxis.values[this.columnCodes[place]] : String(place + 1); }
  // How many cells a row has.
  wideAt(row) { return this.wall ? Math.min(this.columns, this.shown.length - row * this.columns) : this.columns; }
  // Where a cell stands, [row, column], undefined where it is not shown.
  where(id) {
    for (const [place, ids] of this.cells)
      if (ids.includes(id)) {
        const wide = this.wall ? this.columns : this.wide;
        return [Math.floor(place / wide), place % wide];
      }
    return undefined;
  }
}
