// @ts-check
// What makes the page quicker and gives it keys; everything also works without it. Links and forms are followed by
// fetching the same pages and exchanging <main>; going back puts the old <main> where it was.

const root = document.documentElement;
const body = document.body;
const texts = body.dataset;
const MOST_BYTES = 32 << 20;
const REMEMBERED = 12;

/** @template {Element} T @param {string} selector @param {new () => T} kind @param {ParentNode} [within] */
function find(selector, kind, within = document) {
  const found = within.querySelector(selector);
  return found instanceof kind ? found : null;
}

/** @param {string} text */
function say(text) {
  const banner = find("#banner", HTMLElement);
  if (banner) {
    banner.textContent = text;
    banner.hidden = !text;
  }
}

/** @param {string} name @param {string} value */
function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {}
}

// Going from page to page.

/** @typedef {{main: HTMLElement, ask: Element | null, title: string, section: string, y: number, focus: Element | null}} Page */
/** @type {Map<number, Page>} */
const pages = new Map();
let number = Number(history.state?.number ?? Date.now());
/** @type {AbortController | null} */
let going = null;

/** @param {boolean} isBusy */
const setBusy = (isBusy) => body.classList.toggle("busy", isBusy);
const main = () => /** @type {HTMLElement} */ (document.querySelector("main"));

/** @returns {Page} */
function remember() {
  const section = find("nav [aria-current]", HTMLElement)?.dataset.section ?? "";
  return { main: main(), ask: document.querySelector(".ask"), title: document.title, section, y: scrollY, focus: document.activeElement };
}

// What had the focus may be drawn again on the next page: the slider that was moved, the chip that was weighed, the step
// to the next hit. From a picture, focus goes to the picture in the same place if hits are only ranked again, else to
// the first one.

/** @param {Element | null} old @param {boolean} keepsPlace @returns {() => HTMLElement | null} */
function follow(old, keepsPlace) {
  if (!old?.matches(":focus-visible") || !main().contains(old)) return () => null;
  const index = keepsPlace ? hits().findIndex((hit) => hit.parentElement?.contains(old)) : 0;
  if (old.closest(".tile")) return () => (find(".picture", HTMLElement) ? null : (hits()[Math.min(index, hits().length - 1)] ?? null));
  for (const name of ["id", "name", "rel", "data-mode", "aria-label"]) {
    const value = old.getAttribute(name);
    if (value) return () => find(`${old.localName}[${name}="${CSS.escape(value)}"]`, HTMLElement, main());
  }
  return () => null;
}

/** @param {Page} page @param {boolean} [keepsPlace] */
function put(page, keepsPlace = false) {
  const wasTyping = document.activeElement?.id === "words";
  const next = follow(document.activeElement, keepsPlace);
  setMarking(false);
  main().replaceWith(page.main);
  if (page.ask) document.querySelector(".ask")?.replaceWith(page.ask);
  document.title = page.title;
  for (const link of document.querySelectorAll("nav [data-section]")) {
    link.toggleAttribute("aria-current", false);
    if (link instanceof HTMLElement && link.dataset.section === page.section) link.setAttribute("aria-current", "page");
  }
  wake(page.main);
  scrollTo(0, page.y);
  if (page.focus instanceof HTMLElement && page.focus.isConnected && page.focus !== body) page.focus.focus({ preventScroll: true });
  else if (wasTyping) find("#words", HTMLInputElement)?.focus();
  else next()?.focus({ preventScroll: true });
}

/** @param {string} html @returns {Page} */
function read(html) {
  const from = new DOMParser().parseFromString(html, "text/html");
  const fresh = document.adoptNode(/** @type {HTMLElement} */ (from.querySelector("main")));
  const ask = from.querySelector(".ask");
  const section = find("nav [aria-current]", HTMLElement, from)?.dataset.section ?? "";
  return { main: fresh, ask: ask && document.adoptNode(ask), title: from.title, section, y: 0, focus: null };
}

/** @param {() => void} change @param {Element | null} [grows] */
function move(change, grows = null) {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (!grows || isCalm || !document.startViewTransition) return change();
  /** @param {Element | null} one @param {string} name */
  const name = (one, name) => one instanceof HTMLElement && one.style.setProperty("view-transition-name", name);
  name(grows, "picture");
  document.startViewTransition(() => {
    name(grows, "none");
    change();
    name(document.querySelector(".large"), "picture");
  });
}

/** @typedef {{init?: RequestInit, isPushed?: boolean, isQuiet?: boolean, grows?: Element | null, keepsPlace?: boolean}} How */

/** @param {string} address @param {How} [how] */
async function visit(address, { init = {}, isPushed = true, isQuiet = false, grows = null, keepsPlace = false } = {}) {
  going?.abort();
  const own = (going = new AbortController());
  const late = isQuiet ? 0 : setTimeout(setBusy, 300, true);
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" }, ...init, signal: own.signal });
    const isPage = answer.headers.get("content-type")?.startsWith("text/html");
    if (!isPage) {
      const message = answer.ok ? "" : String((await answer.json()).error.message);
      return say(message && `${message[0]?.toUpperCase()}${message.slice(1)}.`);
    }
    const page = read(await answer.text());
    if (own.signal.aborted) return;
    say("");
    const url = answer.url + (new URL(address, location.href).hash || "");
    move(() => {
      if (isPushed) pages.set(number, remember());
      for (const old of [...pages.keys()].slice(0, -REMEMBERED)) pages.delete(old);
      if (keepsPlace) page.y = scrollY;
      if (isPushed) history.pushState({ number: (number = Date.now()) }, "", url);
      put(page, keepsPlace);
    }, grows);
    if (!isQuiet) announce();
  } catch (error) {
    if (!own.signal.aborted) say(texts.gone ?? "");
  } finally {
    clearTimeout(late);
    if (going === own) {
      going = null;
      setBusy(false);
    }
  }
}

function announce() {
  const said = find("#said", HTMLElement);
  const count = find("#count", HTMLElement) ?? find("h1", HTMLElement, main());
  if (said) said.textContent = count?.textContent ?? "";
}

history.replaceState({ number }, "");
history.scrollRestoration = "manual";
addEventListener("pagehide", () => (history.scrollRestoration = "auto"));
addEventListener("pageshow", () => {
  history.scrollRestoration = "manual";
  setBusy(false);
});
addEventListener("popstate", (event) => {
  if (!event.state) return;
  pages.set(number, remember());
  number = Number(event.state.number);
  const page = pages.get(number);
  going?.abort();
  if (page) put(page);
  else visit(location.href, { isPushed: false });
});

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const open = document.querySelector(".facets details[open]");
  if (open instanceof HTMLDetailsElement && target && !open.contains(target)) open.open = false;
  const link = target?.closest("a[href]");
  if (!(link instanceof HTMLAnchorElement) || event.defaultPrevented || event.button) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.hasAttribute("download") || link.matches(".skip, [target]")) return;
  event.preventDefault();
  if (link.id === "more") return void loadMore(link);
  const grows = link.matches(".open") ? find("img", HTMLImageElement, link.closest(".tile") ?? undefined) : null;
  visit(link.href, { grows, keepsPlace: Boolean(link.hash) || link.matches(".plus, .minus") });
});

document.addEventListener("submit", (event) => {
  const sent = event.target;
  if (!(sent instanceof HTMLFormElement) || sent.method === "dialog") return;
  const field = find("input[type=file]", HTMLInputElement, sent);
  if (field?.files?.[0]) {
    event.preventDefault();
    return void look(field.files[0], sent.action);
  }
  if (sent.method !== "get") return;
  event.preventDefault();
  const fields = [...new FormData(sent)].map(([name, value]) => [name, String(value)]).filter(([, value]) => value);
  visit(`${new URL(sent.action).pathname}?${new URLSearchParams(fields)}`);
});

// A picture that is dropped, pasted or chosen is sent to where the form would send it.

/** @param {File} file @param {string} [address] */
async function look(file, address = "/find") {
  if (file.size > MOST_BYTES) return say(texts.large ?? "");
  const data = new FormData();
  data.append("file", file);
  await visit(address, { init: { method: "POST", body: data, headers: { accept: "application/json" } } });
}

document.addEventListener("change", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLInputElement)) return;
  if (field.type === "file" && field.files?.[0]) look(field.files[0], field.form?.action);
  else if (field.type === "color" || field.name === "mix") field.form?.requestSubmit();
  else if (field.id === "captions") {
    root.classList.toggle("captions", field.checked);
    keep("captions", field.checked ? "on" : "");
  }
});

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLInputElement)) return;
  if (field.id === "rows") {
    root.style.setProperty("--row", `${field.value}px`);
    keep("rows", field.value);
  } else if (field.matches(".wipe")) find(".frame", HTMLElement)?.style.setProperty("--wipe", `${field.value}%`);
});

document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
  if (file) {
    event.preventDefault();
    look(file);
  }
});

const veil = find("#veil", HTMLElement);
let depth = 0;
/** @param {DragEvent} event */
const hasFile = (event) => event.dataTransfer?.types.includes("Files") ?? false;
document.addEventListener("dragenter", (event) => {
  if (hasFile(event) && ++depth && veil) veil.hidden = false;
});
document.addEventListener("dragleave", (event) => {
  if (hasFile(event) && --depth <= 0 && veil) veil.hidden = true;
});
document.addEventListener("dragover", (event) => {
  if (hasFile(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  depth = 0;
  if (veil) veil.hidden = true;
  const file = event.dataTransfer?.files[0];
  if (file) {
    event.preventDefault();
    look(file);
  }
});

// Pictures appear once they are there, above their colour; those whose file is gone say so.

/** @param {ParentNode} within */
function watchPictures(within) {
  for (const image of within.querySelectorAll(".tile img, .frame img")) {
    if (!(image instanceof HTMLImageElement)) continue;
    const holder = image.closest(".tile, figure, .frame");
    const show = () => (image.classList.add("there"), holder?.classList.add("there"));
    const lose = () => {
      holder?.classList.add("lost");
      (holder?.querySelector(".hit") ?? holder)?.setAttribute("data-lost", texts.broken ?? "");
    };
    if (image.complete && image.src) (image.naturalWidth ? show : lose)();
    else {
      image.addEventListener("load", show, { once: true });
      image.addEventListener("error", lose, { once: true });
    }
  }
}

// More pictures come when the end is near.

let isLoading = false;
/** @param {HTMLAnchorElement} more */
async function loadMore(more) {
  if (isLoading || !more.isConnected) return;
  isLoading = true;
  try {
    const page = new DOMParser().parseFromString(await (await fetch(more.href)).text(), "text/html");
    const known = new Set([...document.querySelectorAll(".tile")].map((tile) => tile.getAttribute("data-id")));
    const fresh = [...page.querySelectorAll("#hits > .tile")].filter((tile) => !known.has(tile.getAttribute("data-id")));
    find("#hits", HTMLElement)?.append(...fresh.map((tile) => document.adoptNode(tile)));
    history.replaceState({ number }, "", more.href);
    const next = find("#more", HTMLAnchorElement, page);
    if (next && fresh.length) more.href = next.href;
    else more.parentElement?.remove();
    wake(main());
  } catch {
    say(texts.gone ?? "");
  }
  isLoading = false;
}
const nearEnd = new IntersectionObserver((seen) => {
  for (const one of seen) if (one.isIntersecting && one.target instanceof HTMLAnchorElement) loadMore(one.target);
}, { rootMargin: "600px" });

// What is done with each page that is put there.

/** @param {HTMLElement} page */
function wake(page) {
  watchPictures(page);
  const rows = find("#rows", HTMLInputElement, page);
  if (rows) rows.value = String(parseInt(getComputedStyle(root).getPropertyValue("--row")));
  const captions = find("#captions", HTMLInputElement, page);
  if (captions) captions.checked = root.classList.contains("captions");
  const all = hits();
  if (!all.some((hit) => hit === document.activeElement)) all.forEach((hit, index) => (hit.tabIndex = index ? -1 : 0));
  for (const tool of page.querySelectorAll(".tile .tools a")) tool.setAttribute("tabindex", "-1");
  const more = find("#more", HTMLAnchorElement, page);
  nearEnd.disconnect();
  if (more) nearEnd.observe(more);
  if (page.querySelector("[data-waiting]")) {
    setTimeout(() => page.isConnected && visit(location.href, { isPushed: false, isQuiet: true }), 1000);
  }
  const chart = find("[data-map]", HTMLElement, page);
  if (chart?.dataset.map && !chart.dataset.started) {
    chart.dataset.started = "yes";
    import(chart.dataset.map).then((module) => module.start(chart, visit));
  }
}

// The picture that is searched for, beside the hit that is looked at.

const asked = new Image();
asked.className = "asked";
asked.alt = "";
/** @param {Event} event */
function showAsked(event) {
  const tile = event.target instanceof Element ? event.target.closest("#hits[data-asked] > .tile") : null;
  const address = tile?.parentElement?.dataset.asked;
  if (!tile || !address) return asked.remove();
  if (!asked.src.endsWith(address)) asked.src = address;
  if (asked.parentElement !== tile) tile.append(asked);
}
document.addEventListener("pointerover", showAsked);
document.addEventListener("focusin", showAsked);

// A box on the large picture searches for that part of it. A mouse draws it and searches at once; by touch and by keys a
// button puts one there first, which can be drawn again, moved and resized before it is searched with.

/** @typedef {{frame: HTMLElement, box: HTMLElement, sides: number[]}} Marked */
/** @type {{frame: HTMLElement, box: HTMLElement, x: number, y: number} | null} */
let drawn = null;
/** @type {Marked | null} */
let marked = null;
const SMALLEST = 4; // percent of a side
const STEP = 2;

/** @param {HTMLElement} box @param {number[]} sides */
function placeBox(box, sides) {
  ["left", "top", "width", "height"].forEach((name, index) => box.style.setProperty(name, `${sides[index]}%`));
}
/** @param {HTMLElement} frame */
function addBox(frame) {
  const box = document.createElement("div");
  box.className = "box";
  frame.append(box);
  return box;
}
/** @param {HTMLElement} frame @param {number[]} sides */
function findPart(frame, [x = 0, y = 0, wide = 0, high = 0]) {
  const rounded = [x, y, Math.min(wide, 100 - x), Math.min(high, 100 - y)].map((side) => Number(side.toFixed(1)));
  visit(`${frame.dataset.part}@${rounded.join(",")}`);
}
/** @param {PointerEvent} event @param {HTMLElement} frame */
function placeOn(event, frame) {
  const { left, top, width, height } = frame.getBoundingClientRect();
  const limit = (/** @type {number} */ value) => Math.min(Math.max(value, 0), 1);
  return [limit((event.clientX - left) / width), limit((event.clientY - top) / height)];
}
/** @param {PointerEvent} event @param {{frame: HTMLElement, x: number, y: number}} from */
function boxOf(event, { frame, x, y }) {
  const [right = 0, bottom = 0] = placeOn(event, frame);
  return [Math.min(x, right), Math.min(y, bottom), Math.abs(right - x), Math.abs(bottom - y)].map((side) => Math.round(side * 1000) / 10);
}

// A quick stroke is not a fling, whose end would swallow the next tap.
/** @param {TouchEvent} event */
function keepStill(event) {
  if (event.cancelable) event.preventDefault();
}

/** @param {boolean} isOn */
function setMarking(isOn) {
  const frame = find(".frame[data-part]", HTMLElement);
  if (!frame || Boolean(marked) === isOn) return;
  if (isOn) {
    const box = addBox(frame);
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", texts.box ?? "");
    marked = { frame, box, sides: [25, 25, 50, 50] };
    placeBox(box, marked.sides);
    box.focus({ preventScroll: true });
    frame.addEventListener("touchmove", keepStill, { passive: false });
  } else {
    marked?.box.remove();
    marked = null;
    frame.removeEventListener("touchmove", keepStill);
  }
  frame.classList.toggle("marking", isOn);
  for (const id of ["mark-go", "mark-stop", "mark-how"]) find(`#${id}`, HTMLElement)?.toggleAttribute("hidden", !isOn);
  find("#mark", HTMLElement)?.toggleAttribute("hidden", isOn);
  if (!isOn) find("#mark", HTMLElement)?.focus({ preventScroll: true });
}

/** @param {Marked} one @param {KeyboardEvent} event */
function moveBox(one, event) {
  const [dx = 0, dy = 0] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] ?? [];
  const [x = 0, y = 0, wide = 0, high = 0] = one.sides;
  const within = (/** @type {number} */ value, /** @type {number} */ least, /** @type {number} */ most) => Math.min(Math.max(value, least), most);
  one.sides = event.shiftKey
    ? [x, y, within(wide + dx, SMALLEST, 100 - x), within(high + dy, SMALLEST, 100 - y)]
    : [within(x + dx, 0, 100 - wide), within(y + dy, 0, 100 - high), wide, high];
  placeBox(one.box, one.sides);
  const said = find("#said", HTMLElement);
  const [left = 0, top = 0, across = 0, down = 0] = one.sides.map((side) => Math.round(side));
  const words = { x: left, y: top, wide: across, high: down };
  if (said) said.textContent = Object.entries(words).reduce((text, [name, value]) => text.replace(`{${name}}`, String(value)), texts.place ?? "");
}

document.addEventListener("pointerdown", (event) => {
  const target = event.target instanceof Element && event.target.matches("img.large, .marking .box") ? event.target : null;
  const frame = target?.closest(".frame[data-part]");
  if (!(frame instanceof HTMLElement) || event.button || !event.isPrimary || (event.pointerType === "touch" && !marked)) return;
  event.preventDefault();
  const [x = 0, y = 0] = placeOn(event, frame);
  drawn = { frame, box: marked?.box ?? addBox(frame), x, y };
});
document.addEventListener("pointermove", (event) => {
  if (drawn && event.isPrimary) placeBox(drawn.box, boxOf(event, drawn));
});
document.addEventListener("pointerup", (event) => {
  if (!drawn || !event.isPrimary) return;
  const sides = boxOf(event, drawn);
  const { frame, box } = drawn;
  drawn = null;
  const isLarge = (sides[2] ?? 0) >= SMALLEST && (sides[3] ?? 0) >= SMALLEST;
  if (marked) {
    if (isLarge) marked.sides = sides;
    placeBox(box, marked.sides);
  } else if (isLarge) findPart(frame, sides);
  else box.remove();
});
document.addEventListener("pointercancel", () => {
  if (marked) placeBox(marked.box, marked.sides);
  else drawn?.box.remove();
  drawn = null;
});
document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest(".marking > button") : null;
  if (button?.id === "mark-go" && marked) findPart(marked.frame, marked.sides);
  else if (button) setMarking(button.id === "mark");
});

document.addEventListener("click", async (event) => {
  const copy = event.target instanceof Element ? event.target.closest(".copier") : null;
  if (!(copy instanceof HTMLElement)) return;
  await navigator.clipboard.writeText(copy.dataset.text ?? "");
  const label = find("span", HTMLElement, copy);
  if (label) label.textContent = texts.copied ?? "";
  label?.classList.remove("unseen");
});

// Keys. Only one picture of a grid is in the order of Tab; arrows move among the others.

function hits() {
  return /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll(".tile > .hit")]);
}

/** @param {HTMLAnchorElement} from @param {string} key */
function neighbour(from, key) {
  const all = hits();
  const index = all.indexOf(from);
  if (key === "ArrowRight") return all[index + 1];
  if (key === "ArrowLeft") return all[index - 1];
  const own = from.getBoundingClientRect();
  const middle = own.left + own.width / 2;
  const isBeyond = (/** @type {DOMRect} */ box) => (key === "ArrowDown" ? box.top >= own.bottom : box.bottom <= own.top);
  const away = (/** @type {HTMLAnchorElement} */ one) => {
    const box = one.getBoundingClientRect();
    return Math.abs(box.top - own.top) * 10 + Math.abs(box.left + box.width / 2 - middle);
  };
  return all.filter((one) => isBeyond(one.getBoundingClientRect())).sort((one, other) => away(one) - away(other))[0];
}

/** @param {HTMLAnchorElement} next */
function focusHit(next) {
  for (const hit of hits()) hit.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

/** @param {string} mode */
function showMode(mode) {
  const link = find(`[data-mode=${mode}]`, HTMLAnchorElement);
  const isOn = link?.hasAttribute("aria-current");
  const target = isOn ? find("[data-mode=whole]", HTMLAnchorElement) : link;
  if (target) visit(target.href);
}

/** @param {HTMLElement | null} field */
function stepBack(field) {
  if (going) return going.abort();
  if (drawn && !marked) {
    drawn.box.remove();
    drawn = null;
  } else if (marked) setMarking(false);
  else if (field) field.blur();
  else if (location.pathname + location.search !== "/") {
    if (pages.size) history.back();
    else visit(find("#back", HTMLAnchorElement)?.href ?? "/");
  }
}

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const isTyping = target instanceof HTMLInputElement && !["range", "checkbox", "color", "file"].includes(target.type);
  const keys = find("#keys", HTMLDialogElement);
  if (keys?.open) return;
  if (event.key === "Escape") return stepBack(isTyping ? target : null);
  if (isTyping || target instanceof HTMLCanvasElement) return;
  if (marked && target === marked.box) {
    if (event.key === "Enter") findPart(marked.frame, marked.sides);
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    return moveBox(marked, event);
  }
  const words = find("#words", HTMLInputElement);
  const here = target instanceof HTMLAnchorElement && target.matches(".hit") ? target : null;
  const isArrow = event.key.startsWith("Arrow") && !(target instanceof HTMLInputElement);
  const walk = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const step = walk && !here ? find(`.picture a[rel=${walk}]`, HTMLAnchorElement) : null;
  if (event.key === "/") {
    event.preventDefault();
    words?.focus();
    words?.select();
  } else if (event.key === "?") keys?.showModal();
  else if (isArrow && step) visit(step.href);
  else if (isArrow) {
    const next = here ? neighbour(here, event.key) : event.key === "ArrowDown" && scrollY < 40 ? hits()[0] : null;
    if (next) {
      event.preventDefault();
      focusHit(next);
    }
  } else if (here?.parentElement && "o+-=".includes(event.key)) {
    const kind = { o: ".open", "+": ".plus", "=": ".plus", "-": ".minus" }[event.key] ?? ".open";
    find(kind, HTMLAnchorElement, here.parentElement)?.click();
  } else if (event.key === "p" && document.querySelector("#mark") && !here) setMarking(true);
  else if ("bh".includes(event.key) && document.querySelector(".modes") && !here) showMode(event.key === "b" ? "compare" : "heat");
  else if (event.key.length === 1 && /[\p{L}\p{N}]/u.test(event.key)) words?.focus();
});

addEventListener("scroll", () => body.classList.toggle("scrolled", scrollY > 4), { passive: true });

// While the collection is being indexed, here or elsewhere, a line says so. Only the tab that is looked at listens:
// a browser opens few connections to a server.

/** @type {EventSource | null} */
let events = null;
function listen() {
  events?.close();
  events = null;
  if (document.hidden) return;
  events = new EventSource("/api/v1/events");
  events.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    const line = find("#growing", HTMLElement);
    const bar = find("progress", HTMLProgressElement, line ?? undefined);
    if (!line || !bar) return;
    line.hidden = !state.is_changing;
    const text = find("span", HTMLElement, line);
    if (text) text.textContent = (texts.growing ?? "").replace("{count}", Number(state.pictures).toLocaleString());
    if (state.index.total) {
      bar.max = state.index.total;
      bar.value = state.index.done;
    } else bar.removeAttribute("value");
  });
}
document.addEventListener("visibilitychange", listen);
setTimeout(listen, 2000);

// When the server is gone, say so and look whether it is back.

let wasGone = false;
setInterval(async () => {
  if (document.hidden) return;
  try {
    await fetch("/healthz", { cache: "no-store" });
    if (wasGone) say("");
    wasGone = false;
  } catch {
    wasGone = true;
    say(texts.gone ?? "");
  }
}, 5000);

wake(main());
