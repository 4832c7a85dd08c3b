// @ts-check
// What makes the page quicker and gives it keys; everything also works without it.

const body = document.body;
const texts = body.dataset;

/** @template {HTMLElement} T @param {string} selector @param {new () => T} kind @param {ParentNode} [within] */
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

/** @param {boolean} isBusy */
function setBusy(isBusy) {
  body.classList.toggle("busy", isBusy);
}

// Pictures appear once they are there, above their colour; those whose file is gone say so.

/** @param {ParentNode} within */
function watchPictures(within) {
  for (const tile of within.querySelectorAll(".tile")) {
    const image = find("img", HTMLImageElement, tile);
    if (!(tile instanceof HTMLElement) || !image) continue;
    tile.style.setProperty("--r", tile.dataset.ratio ?? "1.5");
    const show = () => image.classList.add("there");
    const lose = () => {
      tile.classList.add("lost");
      find(".hit", HTMLElement, tile)?.setAttribute("data-lost", texts.broken ?? "");
    };
    if (image.complete) (image.naturalWidth ? show : lose)();
    else {
      image.addEventListener("load", show, { once: true });
      image.addEventListener("error", lose, { once: true });
    }
  }
}
watchPictures(document);

// A picture that is dropped, pasted or chosen is sent to where the form would send it.

const form = find("form.drop", HTMLFormElement);
const input = find("input.file", HTMLInputElement);
const MOST = 32 << 20;

/** @param {File} file */
async function look(file) {
  if (!form) return;
  if (file.size > MOST) return say(texts.large ?? "");
  say("");
  setBusy(true);
  const data = new FormData();
  data.append("file", file);
  try {
    const answer = await fetch(form.action, { method: "POST", body: data, headers: { accept: "application/json" } });
    if (answer.redirected) location.assign(answer.url);
    else {
      /** @type {string} */
      const message = (await answer.json()).error.message;
      say(`${message[0]?.toUpperCase()}${message.slice(1)}.`);
    }
  } catch {
    say(texts.gone ?? "");
  } finally {
    setBusy(false);
  }
}

input?.addEventListener("change", () => input.files?.[0] && look(input.files[0]));
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

const color = find("form.color input[type=color]", HTMLInputElement);
color?.addEventListener("change", () => color.form?.submit());

// More pictures come when the end is near.

const more = find("#more", HTMLAnchorElement);
if (more) {
  let isLoading = false;
  const load = async () => {
    if (isLoading || !more.isConnected) return;
    isLoading = true;
    try {
      const page = new DOMParser().parseFromString(await (await fetch(more.href)).text(), "text/html");
      const grid = find("#hits", HTMLElement);
      const known = new Set([...document.querySelectorAll(".tile")].map((tile) => tile.getAttribute("data-id")));
      const fresh = [...page.querySelectorAll(".tile")].filter((tile) => !known.has(tile.getAttribute("data-id")));
      grid?.append(...fresh.map((tile) => document.importNode(tile, true)));
      watchPictures(document);
      history.replaceState(null, "", more.href.split("#")[0]);
      const next = find("#more", HTMLAnchorElement, page);
      if (next && fresh.length) more.href = next.href;
      else more.parentElement?.remove();
    } catch {
      say(texts.gone ?? "");
    }
    isLoading = false;
  };
  more.addEventListener("click", (event) => {
    event.preventDefault();
    load();
  });
  new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && load(), { rootMargin: "600px" }).observe(more);
}

// The size of the rows is remembered.

const rows = find("#rows", HTMLInputElement);
/** @param {string} pixels */
const setRows = (pixels) => document.documentElement.style.setProperty("--row", `${pixels}px`);
try {
  const kept = localStorage.getItem("rows");
  if (kept && Number(kept) >= 100 && Number(kept) <= 340) {
    setRows(kept);
    if (rows) rows.value = kept;
  } else if (rows) rows.value = String(parseInt(getComputedStyle(document.documentElement).getPropertyValue("--row")));
} catch {}
rows?.addEventListener("input", () => {
  setRows(rows.value);
  try {
    localStorage.setItem("rows", rows.value);
  } catch {}
});

const copy = find("#copy", HTMLButtonElement);
copy?.addEventListener("click", async () => {
  const label = find("span", HTMLElement, copy);
  await navigator.clipboard.writeText(copy.dataset.text ?? "");
  if (label) label.textContent = texts.copied ?? "";
});

// Keys. Only one picture of a grid is in the order of Tab; arrows move among the others.

const hits = () => /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll(".tile > .hit")]);
hits().forEach((hit, index) => index && hit.setAttribute("tabindex", "-1"));

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

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = target instanceof HTMLInputElement && target.type !== "range";
  const words = find("#words", HTMLInputElement);
  const keys = find("#keys", HTMLDialogElement);
  if (event.key === "Escape" && keys && !keys.open) {
    if (isTyping) target.blur();
    else if (location.pathname + location.search !== "/") history.back();
    return;
  }
  if (isTyping || keys?.open) return;
  const here = target instanceof HTMLAnchorElement && target.matches(".hit") ? target : null;
  if (event.key === "/") {
    event.preventDefault();
    words?.focus();
    words?.select();
  } else if (event.key === "?") keys?.showModal();
  else if (event.key.startsWith("Arrow") && !(target instanceof HTMLInputElement)) {
    const next = here ? neighbour(here, event.key) : event.key === "ArrowDown" && scrollY < 40 ? hits()[0] : null;
    if (next) {
      event.preventDefault();
      hits().forEach((hit) => hit.setAttribute("tabindex", "-1"));
      next.removeAttribute("tabindex");
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    }
  } else if (here?.parentElement && "o+-=".includes(event.key)) {
    const kind = { o: ".open", "+": ".plus", "=": ".plus", "-": ".minus" }[event.key] ?? ".open";
    find(kind, HTMLAnchorElement, here.parentElement)?.click();
  } else if (event.key.length === 1 && /[\p{L}\p{N}]/u.test(event.key) && !here) words?.focus();
});

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && link.id !== "more") setTimeout(setBusy, 300, true);
  const facets = find(".facets[open]", HTMLDetailsElement);
  if (facets && event.target instanceof Node && !facets.contains(event.target)) facets.open = false;
});
addEventListener("pageshow", () => setBusy(false));
addEventListener("scroll", () => body.classList.toggle("scrolled", scrollY > 4), { passive: true });

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
}, 10_000);
