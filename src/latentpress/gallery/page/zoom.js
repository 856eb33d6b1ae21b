// Zooming and moving within the stage: wheel, two fingers, dragging, double click. Both pictures move together.

const MOST_ZOOM = 64;

class Zoom {
  constructor(stage) {
    this.stage = stage;
    this.pointers = new Map();
    this.reset();
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.by(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event.clientX, event.clientY);
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => (this.scale > 1 ? this.reset() : this.by(3, event.clientX, event.clientY)));
    stage.addEventListener("pointerdown", (event) => {
      if (event.button || event.target.closest("button, input, .handle")) return;
      this.pointers.set(event.pointerId, event);
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => this.#moved(event));
    for (const name of ["pointerup", "pointercancel"])
      stage.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
  }

  reset() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.#apply();
  }

  // Picture pixels as screen pixels. img: one that is shown.
  actual(img) {
    const box = this.stage.getBoundingClientRect();
    const fitted = Math.min(box.width / img.naturalWidth, box.height / img.naturalHeight);
    this.reset();
    this.by(1 / fitted / devicePixelRatio);
  }

  // Zoom about a point of the screen, by default the middle.
  by(factor, clientX, clientY) {
    const box = this.stage.getBoundingClientRect();
    const fromX = (clientX ?? box.left + box.width / 2) - box.left - box.width / 2;
    const fromY = (clientY ?? box.top + box.height / 2) - box.top - box.height / 2;
    const scale = Math.min(MOST_ZOOM, Math.max(0.05, this.scale * factor));
    this.x = fromX - ((fromX - this.x) * scale) / this.scale;
    this.y = fromY - ((fromY - this.y) * scale) / this.scale;
    this.scale = scale;
    this.#apply();
  }

  #moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (this.pointers.size === 1) {
      this.x += event.clientX - before.clientX;
      this.y += event.clientY - before.clientY;
      this.#apply();
    } else {
      const other = [...this.pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      this.by(apart(event) / apart(before), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    }
    this.pointers.set(event.pointerId, event);
  }

  #apply() {
    // Not out of sight: half of the stage always has a part of the picture.
    const box = this.stage.getBoundingClientRect();
    const within = (value, size) => Math.max(-(size * this.scale) / 2, Math.min((size * this.scale) / 2, value));
    this.x = within(this.x, box.width);
    this.y = within(this.y, box.height);
    this.stage.style.setProperty("--move", `translate(${this.x}px, ${this.y}px) scale(${this.scale})`);
    this.stage.dataset.zoom = this.scale.toFixed(3);
    this.stage.classList.toggle("zoomed", this.scale !== 1);
  }
}
