// The full picture, beside another with a slider, and what made it.

class Viewer {
  // move(id, rows, columns): the cell that stands so far from `id`; closed(id): called when the viewer closes.
  constructor(model, move, closed) {
    Object.assign(this, { model, move, closed, id: null, other: null, mark: null, axis: null, split: 50 });
    const button = (text, title, onclick) => make("button", { type: "button", title, onclick }, text);
    this.title = make("h2", { dir: "auto" });
    this.layers = ["a", "b"].map((name) => make("div", { class: `layer ${name}` }));
    this.handle = make("div", { class: "handle", "aria-hidden": "true" });
    this.range = make("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": "Where the pictures meet", oninput: () => this.#splitAt(Number(this.range.value)) });
    this.names = ["a", "b"].map((name) => make("span", { class: `name ${name}`, dir: "auto" }));
    this.stage = make("div", { class: "stage" }, ...this.layers, this.handle, ...this.names);
    this.zoom = new Zoom(this.stage);
    this.compare = button("Compare", "Beside another picture (c)", () => this.toggle());
    this.compare.setAttribute("aria-pressed", "false");
    this.beside = make("select", { "aria-label": "Compare along", onchange: () => this.#along() });
    this.value = make("select", { "aria-label": "Compare with", dir: "auto", onchange: () => this.#with(Number(this.value.value)) });
    this.bar = make("div", { class: "beside", hidden: true }, make("label", {}, "beside ", this.beside), this.value, this.range,
      button("Swap", "Exchange the two (x)", () => this.#exchange()));
    this.facts = make("dl", {});
    this.copy = button("Copy settings", "Copy settings (y)", () => this.#copy());
    this.link = make("a", { target: "_blank", rel: "noopener" }, "Open the file");
    this.marker = button("Mark", "Mark this one to compare others with (m)", () => this.#mark());
    this.dialog = make("dialog", { class: "viewer", "aria-label": "Picture", tabindex: -1, autofocus: true },
      make("div", { class: "line" }, this.title, make("span", { class: "space" }),
        button("−", "Smaller (-)", () => this.zoom.by(1 / 1.5)), button("+", "Larger (+)", () => this.zoom.by(1.5)),
        button("Fit", "As large as the window (0)", () => this.zoom.reset()), button("1:1", "Pixel by pixel (1)", () => this.#actual()),
        this.marker, this.compare, button("Close", "Close (Esc)", () => this.dialog.close())),
      this.bar,
      make("div", { class: "both" }, this.stage,
        make("aside", {}, make("p", { class: "line" }, this.copy, this.link), this.facts)));
    document.body.append(this.dialog);
    this.dialog.addEventListener("close", () => this.closed(this.id));
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
    this.handle.addEventListener("pointerdown", (event) => this.handle.setPointerCapture(event.pointerId));
    this.handle.addEventListener("pointermove", (event) => {
      if (!this.handle.hasPointerCapture(event.pointerId)) return;
      const box = this.stage.getBoundingClientRect();
      this.#splitAt(((event.clientX - box.left) / box.width) * 100);
    });
  }

  get comparing() { return !this.bar.hidden; }

  open(id) {
    this.id = id;
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.dialog.focus();
      this.zoom.reset();
    }
    if (this.comparing) this.#partners();
    this.#show();
  }

  toggle() {
    this.bar.hidden = this.comparing;
    if (this.comparing) this.#partners();
    else this.other = null;
    this.#show();
  }

  // The choices for what stands beside: a value of any axis, or the picture that was marked.
  #partners() {
    const { model } = this;
    const axes = model.many;
    if (this.axis === null) this.axis = model.folder >= 0 ? "folder" : this.mark !== null ? "mark" : "";
    const options = axes.map((axis) => new Option(axis.place === model.folder ? "the other folder" : named(axis.key), axis.place));
    if (this.mark !== null) options.push(new Option("the marked picture", "mark"));
    this.beside.replaceChildren(...options);
    const wanted = this.axis === "folder" ? String(model.folder) : this.axis;
    this.beside.value = options.some((option) => option.value === wanted) ? wanted : options[0]?.value;
    this.#along(false);
  }

  #along(chosen = true) {
    const { model } = this;
    if (chosen) this.axis = this.beside.value;
    this.value.hidden = this.beside.value === "mark" || !this.beside.value;
    if (this.value.hidden) {
      this.other = this.beside.value === "mark" ? this.mark : null;
      if (chosen) this.#show();
      return;
    }
    const axis = model.axes[Number(this.beside.value)], own = axis.codes[this.id];
    const kept = this.kept?.axis === axis ? this.kept.code : undefined;
    const codes = axis.values.map((_, code) => code).filter((code) => code !== own);
    this.value.replaceChildren(...codes.map((code) => new Option(plain(axis.values[code]) || "(none)", code)));
    const code = kept !== undefined && kept !== own ? kept : codes[own < codes.length ? own : 0];
    this.value.value = String(code);
    this.#with(code, chosen);
  }

  #with(code, show = true) {
    const axis = this.model.axes[Number(this.beside.value)];
    this.kept = { axis, code };
    this.other = this.model.sibling(this.id, axis, code) ?? null;
    if (show) this.#show();
  }

  #mark() {
    this.mark = this.mark === this.id ? null : this.id;
    this.axis = this.mark === null ? null : "mark";
    if (this.comparing) this.#partners();
    this.#show();
  }

  #exchange() {
    if (this.other === null) return;
    [this.id, this.other] = [this.other, this.id];
    const axis = this.model.axes[Number(this.beside.value)];
    if (axis) {
      this.kept = { axis, code: axis.codes[this.other] };
      const other = this.other;
      this.#partners();
      this.other = other;
    } else this.mark = this.other;
    this.#show();
  }

  #show() {
    const { model, id, other } = this, beside = this.comparing;
    this.title.textContent = plain(model.many.map((axis) => model.label(id, axis)).filter((text) => text && text.length <= 40).join(" · ")) || plain(model.text(id, OUTPUT));
    this.title.title = this.title.textContent;
    this.layers[0].replaceChildren(this.#picture(id));
    this.layers[1].replaceChildren(beside ? this.#picture(other) : "");
    this.stage.classList.toggle("comparing", beside);
    this.compare.setAttribute("aria-pressed", String(beside));
    this.marker.setAttribute("aria-pressed", String(this.mark === id));
    this.names.forEach((name, place) => {
      const one = [id, other][place];
      name.textContent = beside && one !== null ? plain(this.#name(one)) : "";
    });
    this.#splitAt(this.split);
    this.link.hidden = !["done"].includes(model.state(id));
    this.link.href = model.source(id);
    this.#facts();
  }

  // What tells one of the two pictures from the other.
  #name(id) {
    const { model } = this, differ = model.axes.filter((axis) => this.other !== null && axis.codes[this.id] !== axis.codes[this.other]);
    const shown = differ.filter((axis) => axis.key !== "prompt");
    return (shown.length ? shown : differ).map((axis) => `${named(axis.key)}: ${model.label(id, axis)}`).join(", ");
  }

  #picture(id) {
    const { model } = this;
    if (id === null) return make("p", { class: "mark" }, make("b", {}, "no such picture"), make("span", {}, "nothing is planned there"));
    const state = model.state(id), alt = plain(model.text(id, ALT));
    if (state !== "done") return make("p", { class: `mark ${state}` }, make("b", {}, state), make("span", { dir: "auto" }, plain(model.text(id, REASON))));
    const img = make("img", { src: model.source(id), alt, draggable: "false" });
    img.addEventListener("load", () => {
      const box = this.stage.getBoundingClientRect();
      img.classList.toggle("sharp", Math.min(box.width / img.naturalWidth, box.height / img.naturalHeight) >= 2);
    });
    img.addEventListener("error", () => img.replaceWith(make("p", { class: "mark missing" }, make("b", {}, "missing"), make("span", {}, "the file cannot be read"))));
    return img;
  }

  #splitAt(percent) {
    this.split = Math.min(100, Math.max(0, percent));
    this.stage.style.setProperty("--split", `${this.split}%`);
    this.range.value = String(Math.round(this.split));
  }

  #facts() {
    const { model } = this;
    const other = this.comparing && this.other !== null ? new Map(model.settings(this.other)) : null;
    const rows = model.settings(this.id);
    if (model.text(this.id, REASON)) rows.unshift([model.state(this.id), model.text(this.id, REASON)]);
    this.facts.replaceChildren(...rows.map(([key, text]) => {
      const differs = other && (other.get(key) ?? "") !== text && !["job", "pixel sha256", "file", "seconds"].includes(key);
      return make("div", { class: differs ? "differs" : "" }, make("dt", {}, named(key)), make("dd", { dir: "auto" }, plain(text)),
        differs ? make("dd", { dir: "auto", class: "other" }, plain(other.get(key) ?? "—")) : null);
    }));
  }

  async #copy() {
    const lines = this.model.settings(this.id).map(([key, text]) => `${key}: ${/[\n"]|^\s|\s$|: /.test(text) ? JSON.stringify(text) : text}`);
    const done = await copied(`${lines.join("\n")}\n`);
    this.copy.textContent = done ? "Copied" : "Cannot copy here";
    setTimeout(() => { this.copy.textContent = "Copy settings"; }, 1500);
  }

  #actual() {
    const img = this.stage.querySelector("img");
    if (img?.naturalWidth) this.zoom.actual(img);
  }

  #key(event) {
    if (event.altKey || event.metaKey || event.ctrlKey || ["SELECT"].includes(event.target.tagName)) return;
    const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const actions = {
      c: () => this.toggle(), x: () => this.#exchange(), m: () => this.#mark(), y: () => this.#copy(),
      "+": () => this.zoom.by(1.5), "=": () => this.zoom.by(1.5), "-": () => this.zoom.by(1 / 1.5),
      0: () => this.zoom.reset(), 1: () => this.#actual(),
      ",": () => this.#splitAt(this.split - 5), ".": () => this.#splitAt(this.split + 5),
    };
    if (event.key in arrows && event.target !== this.range) {
      const next = this.move(this.id, ...arrows[event.key]);
      if (next !== undefined) this.open(next);
    } else if (event.key in actions) actions[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
