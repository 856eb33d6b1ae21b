// Small things that the other parts use. All text becomes text nodes or attributes, never HTML.

// Of a cell's row in the data, as data.py writes it.
const [FOLDER, STATE, OUTPUT, URL_PATH, PIXELS, JOB, WIDTH, HEIGHT, SECONDS, PROMPT, NEGATIVE, REASON, SEED, ALT, FIGURES, LABELS] =
  Array.from({ length: 16 }, (_, place) => place);
const ANY = -1;
const NONE = -1;

// An element: make("button", {type: "button", onclick: ..., "aria-label": ...}, "text", child, ...).
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// The whole numbers from one to below another.
function span(from, to) {
  return Array.from({ length: Math.max(0, to - from) }, (_, place) => from + place);
}

// What cannot be seen or would turn the text around it, spelled out; every text has a direction of its own (dir="auto").
function plain(text) {
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]/gu,
    (char) => `\\u${char.codePointAt(0).toString(16).padStart(4, "0")}`);
}

function named(key) {
  return plain(key.replaceAll("_", " "));
}

function stored(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(`latentpress-gallery-${name}`);
    localStorage.setItem(`latentpress-gallery-${name}`, value);
  } catch { /* a browser may keep nothing for pages from the disk */ }
  return null;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { readonly: true, class: "off" });
    area.value = text;
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
