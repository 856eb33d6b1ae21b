// The elements of cells. Those that leave sight are filled again for what comes into it, so that scrolling makes no new ones.

class Cells {
  constructor(model, loading) {
    Object.assign(this, { model, loading });
  }

  // An element for a place of the table, `old` again where there is one. side: of a cell, in CSS pixels.
  fill(old, table, row, column, side, active) {
    const element = old ?? make("div", { role: "gridcell" });
    const first = table.wall ? 1 : 2, ids = table.at(row, column);
    element.tabIndex = active ? 0 : -1;
    element.dataset.row = row;
    element.dataset.column = column;
    element.setAttribute("aria-rowindex", row + first);
    element.setAttribute("aria-colindex", column + first);
    if (ids.length) this.#holds(element, table, ids, side);
    else this.#empty(element, table, row, column);
    return element;
  }

  // An element that leaves the page.
  drop(element) {
    if (element.picture) this.loading.drop(element.picture);
    element.remove();
  }

  #empty(element, table, row, column) {
    const planned = table.planned_at(row, column), numbered = !table.rowAxis || !table.columnAxis;
    const why = numbered ? "empty" : planned ? "hidden by the filters" : "not planned";
    this.#clear(element, planned || numbered ? "filtered" : "excluded");
    element.title = numbered ? "" : why;
    element.setAttribute("aria-label", why);
  }

  #holds(element, table, ids, side) {
    const { model } = this, [id] = ids, state = model.state(id), alt = plain(model.text(id, ALT));
    const more = ids.length > 1 ? make("i", { title: `${ids.length} pictures here` }, `1/${ids.length}`) : null;
    const name = table.wall ? make("small", { dir: "auto" }, plain(model.text(id, OUTPUT))) : null;
    if (state === "done") this.#picture(element, id, alt, side, [more, name]);
    else {
      this.#clear(element, state, make("b", {}, state), make("span", { dir: "auto", class: "why" }, this.#why(id, state)), more, name);
      element.setAttribute("aria-label", alt);
    }
    element.dataset.id = id;
    element.title = plain(model.text(id, OUTPUT));
  }

  #picture(element, id, alt, side, others) {
    const { model, loading } = this;
    if (!element.picture) {
      this.#clear(element, "done", make("img", { decoding: "async", draggable: "false" }));
      element.picture = element.firstChild;
    }
    while (element.picture.nextSibling) element.picture.nextSibling.remove();
    element.append(...others.filter(Boolean));
    element.picture.alt = alt;
    element.picture.classList.toggle("sharp", model.cells[id][WIDTH] <= side / 2);
    loading.want(element.picture, model.thumbnail(id, side * devicePixelRatio), model.source(id));
  }

  #why(id, state) {
    return plain(this.model.text(id, REASON)) || { waiting: "not rendered yet", missing: "the file is gone" }[state] || "";
  }

  #clear(element, state, ...children) {
    if (element.picture) this.loading.drop(element.picture);
    element.picture = null;
    element.className = `cell ${state}`;
    element.removeAttribute("aria-label");
    delete element.dataset.id;
    element.replaceChildren(...children.filter(Boolean));
  }
}
