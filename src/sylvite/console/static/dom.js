// Elements out of names, properties and texts.  Nothing that comes from outside is ever read as HTML.

const AS_PROPERTY = new Set(["value", "checked", "selected", "disabled", "open", "indeterminate"]);
const SVG = "http://www.w3.org/2000/svg";

/** Make an element.  `name`: its tag, with classes behind dots.  Properties that are functions are listeners (`onclick`). */
export function h(name, properties, ...children) {
  const [tag, ...classes] = name.split(".");
  return fill(document.createElement(tag), classes, properties, children);
}

/** As `h`, for SVG. */
export function s(name, properties, ...children) {
  const [tag, ...classes] = name.split(".");
  return fill(document.createElementNS(SVG, tag), classes, properties, children);
}

function fill(element, classes, properties, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  if (properties !== null && typeof properties === "object" && !(properties instanceof Node) && !Array.isArray(properties)) {
    for (const [key, value] of Object.entries(properties)) set(element, key, value);
  } else if (properties !== undefined) {
    children.unshift(properties);
  }
  append(element, children);
  return element;
}

function set(element, key, value) {
  if (value === undefined || value === null || (value === false && !AS_PROPERTY.has(key))) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else if (key === "class") value.split(" ").filter(Boolean).forEach((each) => element.classList.add(each));
  else if (key === "style") Object.entries(value).forEach(([name, text]) => element.style.setProperty(name, text));
  else if (AS_PROPERTY.has(key)) element[key] = value;
  else element.setAttribute(key, value === true ? "" : value);
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Let an element hold these and nothing else. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

let counter = 0;
/** Return an id that no other element has. */
export const freshId = (word) => `${word}-${++counter}`;

/** A field with its label.  `hint`: said below it. */
export function field(label, control, hint) {
  const id = control.id || (control.id = freshId("field"));
  const below = hint ? h("p.hint", { id: `${id}-hint` }, hint) : null;
  if (below) control.setAttribute("aria-describedby", below.id);
  return h("div.field", h("label", { for: id }, label), control, below);
}

/** A choice of one of several: pairs of a value and what is shown of it. */
export function select(options, chosen, properties = {}) {
  return h("select", properties, options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

/** Something that is not there, wrong, or being waited for: a title, and what can be done about it. */
export function notice(kind, title, ...more) {
  return h(`div.notice.${kind}`, { role: kind === "error" ? "alert" : null }, h("p.notice-title", title), more.map((each) =>
    typeof each === "string" ? h("p", each) : each));
}

/** Call something later than the last of many calls, after a pause. */
export function debounced(call, pause_ms) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), pause_ms);
  };
}

/** Put a text where it can be pasted from, and say so on the button. */
export async function copy(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy it by hand";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}
