// What stands above the grid: which axes are rows and columns, the filters, the states, the search, the size.

// Longer lists of values are filled in when they are asked for.
const AT_ONCE = 50;
const STATE_WORDS = { done: "done", failed: "failed", waiting: "waiting", missing: "missing" };

class Controls {
  constructor(home, model, view, changed) {
    Object.assign(this, { home, model, view, changed });
    const side = (name) => make("select", { id: name, onchange: (event) => this.#turn(name, Number(event.target.value)) },
      new Option("(none)", NONE), ...model.many.map((axis) => new Option(named(axis.key), axis.place)));
    this.rows = side("rows");
    this.columns = side("columns");
    this.swap = make("button", { id: "swap", type: "button", title: "Exchange rows and columns (s)", onclick: () => this.exchange() }, "Swap");
    this.filters = make("span", { id: "filters", class: "line" });
    this.states = make("span", { class: "line", role: "group", "aria-label": "States" });
    this.search = make("input", { id: "search", type: "search", placeholder: "Search (/)", "aria-label": "Search in prompts, settings and names",
      dir: "auto", oninput: () => this.#searched() });
    this.size = make("input", { id: "size", type: "range", min: 48, max: 320, step: 8, "aria-label": "Size of the pictures", oninput: () => changed("size") });
    home.replaceChildren(make("label", {}, "rows ", this.rows), this.swap, make("label", {}, "columns ", this.columns),
      this.filters, this.states, this.search, make("label", {}, "size ", this.size));
    const counts = new Map();
    for (let id = 0; id < model.cells.length; id++) counts.set(model.state(id), (counts.get(model.state(id)) || 0) + 1);
    this.counts = counts;
    if (counts.size > 1)
      this.states.append(...model.data.states.filter((state) => counts.has(state)).map((state) =>
        make("button", { type: "button", class: `state ${state}`, "data-state": state, onclick: () => this.#toggle(state) },
          `${STATE_WORDS[state]} ${counts.get(state).toLocaleString("en")}`)));
  }

  // Bring what is shown here in line with the view.
  update() {
    const { model, view } = this;
    this.rows.value = String(view.rows);
    this.columns.value = String(view.columns);
    this.size.value = String(view.side);
    if (this.search.value !== view.search) this.search.value = view.search;
    for (const button of this.states.children) button.setAttribute("aria-pressed", String(!view.hidden.has(button.dataset.state)));
    const rest = model.many.filter((axis) => axis.place !== view.rows && axis.place !== view.columns);
    this.filters.replaceChildren(...rest.map((axis) => make("label", {}, `${named(axis.key)} `, this.#filter(axis))));
  }

  #filter(axis) {
    const chosen = this.view.filters.get(axis.place) ?? ANY;
    const option = (code) => new Option(plain(axis.values[code]) || "(none)", code);
    const select = make("select", { "data-axis": axis.key, dir: "auto", onchange: () => {
      this.view.given.set(axis.place, Number(select.value));
      this.changed("view");
    } });
    const fill = () => select.replaceChildren(new Option("any", ANY), ...axis.values.map((_, code) => option(code)));
    if (axis.values.length <= AT_ONCE) fill();
    else {
      select.replaceChildren(new Option("any", ANY), ...(chosen === ANY ? [] : [option(chosen)]));
      const once = () => {
        const { value } = select;
        fill();
        select.value = value;
      };
      select.addEventListener("pointerdown", once, { once: true });
      select.addEventListener("focus", once, { once: true });
    }
    select.value = String(chosen);
    return select;
  }

  #turn(side, axis) {
    const { view } = this, other = side === "rows" ? "columns" : "rows";
    if (axis !== NONE && view[other] === axis) view[other] = view[side];
    view[side] = axis;
    view.given.delete(axis);
    this.changed("view");
  }

  exchange() {
    const { view } = this;
    [view.rows, view.columns] = [view.columns, view.rows];
    this.changed("view");
  }

  #toggle(state) {
    const { hidden } = this.view;
    if (!hidden.delete(state)) hidden.add(state);
    this.changed("view");
  }

  #searched() {
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      this.view.search = this.search.value;
      this.changed("view");
    }, 150);
  }
}
