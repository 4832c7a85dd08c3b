// @ts-check
// The map: points from islands to thumbnails, on a canvas. The list below it shows the same, for keyboards.

/** @typedef {{ids: Float64Array, x: Float32Array, y: Float32Array, group: Uint16Array, groups: {name: string, x: number, y: number, size: number}[]}} Points */

const MOST_IMAGES = 600; // that are kept, at 128 pixels
const BUTTONS = { wide: 60, high: 200 }; // in the upper right corner
const MOST_STRETCHED = 1.7;
const AT_ONCE = 8; // that are fetched
const LONGEST = 7000; // characters of an address
const SHOWN = 400; // thumbnails at once

/** The map as the server packs it; the order of its columns is in the API's description of `/api/v1/map`.
 * @param {ArrayBuffer} data @returns {Points} */
function read(data) {
  const length = new DataView(data).getUint32(8, true);
  const { groups } = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 12, length)));
  const start = 12 + length; // a multiple of 8
  const count = (data.byteLength - start) / 14;
  const steps = (/** @type {number} */ at) => Float32Array.from(new Int16Array(data, at, count), (step) => step / 32767);
  const ids = new Float64Array(data, start, count);
  return { ids, x: steps(start + 8 * count), y: steps(start + 10 * count), group: new Uint16Array(data, start + 12 * count, count), groups };
}

/** @param {HTMLElement} chart @param {(address: string) => void} visit */
export async function start(chart, visit) {
  const canvas = /** @type {HTMLCanvasElement} */ (chart.querySelector("canvas"));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: false }));
  const said = /** @type {HTMLElement} */ (chart.querySelector("#map-said"));
  const help = said.textContent ?? "";
  /** @type {Points} */
  const data = read(await (await fetch("/map/points?format=binary")).arrayBuffer());
  const { ids, x, y, group, groups } = data;
  const count = ids.length;
  const view = { x: 0, y: 0, scale: 1 };
  let width = 0;
  let height = 0;
  let ratio = 1;
  let at = -1;
  let isWaiting = false;
  const isDark = matchMedia("(prefers-color-scheme: dark)");

  const smallest = () => 0.46 * Math.min(width, height);
  // The islands are in a square, which is stretched to fill more of a wide or a high screen.
  const across = () => view.scale * Math.min(Math.max(width / height || 1, 1), MOST_STRETCHED);
  const down = () => view.scale * Math.min(Math.max(height / width || 1, 1), MOST_STRETCHED);
  const left = (/** @type {number} */ i) => ((x[i] ?? 0) - view.x) * across() + width / 2;
  const top = (/** @type {number} */ i) => (view.y - (y[i] ?? 0)) * down() + height / 2;

  // A thumbnail grows more slowly than the map, so that zooming in makes room.
  function thumbnail() {
    const first = Math.max(26, Math.min(width, height) / 22, Math.min(72, Math.sqrt((width * height) / (2.5 * count))));
    return Math.min(first * Math.sqrt(view.scale / smallest()), 160);
  }

  /** @type {Map<number, ImageBitmap | null>} */
  const images = new Map();
  /** @type {Set<number>} */
  const gone = new Set(); // removed since the map was drawn, or without a file
  /** @type {number[]} */
  let wanted = [];
  let fetching = 0;
  function fetchNext() {
    while (fetching < AT_ONCE && wanted.length) {
      const i = /** @type {number} */ (wanted.shift());
      if (images.has(i)) continue;
      images.set(i, null);
      fetching++;
      fetch(`/thumbnails/${ids[i]}/small?optional`)
        .then((answer) => {
          if (answer.status === 204) gone.add(i);
          return answer.status === 200 ? answer.blob() : Promise.reject(new Error(answer.statusText));
        })
        .then((blob) => createImageBitmap(blob))
        .then((whole) => {
          const by = 160 / Math.max(whole.width, whole.height);
          const size = { resizeWidth: Math.max(1, Math.round(whole.width * by)), resizeHeight: Math.max(1, Math.round(whole.height * by)) };
          return createImageBitmap(whole, { ...size, resizeQuality: "medium" });
        })
        .then((small) => images.set(i, small))
        .catch(() => {})
        .finally(() => {
          fetching--;
          ask();
          fetchNext();
        });
    }
    for (const i of images.keys()) {
      if (images.size <= MOST_IMAGES) break;
      images.get(i)?.close();
      images.delete(i);
    }
  }

  /** @type {Map<string, string>} */
  const colors = new Map(); // asking for one takes as long as drawing a name
  /** @param {string} name */
  function color(name) {
    const known = colors.get(name) ?? getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    colors.set(name, known);
    return known;
  }

  // Points are written into memory: a hundred thousand take 1 ms, where drawing them one by one takes 40.
  /** @type {ImageData | null} */
  let sheet = null;
  function drawPoints() {
    const [w, h] = [canvas.width, canvas.height];
    if (!w || !h) return;
    if (!sheet || sheet.width !== w || sheet.height !== h) sheet = context.createImageData(w, h);
    const pixels = new Uint32Array(sheet.data.buffer);
    pixels.fill(0);
    const ink = isDark.matches ? 0xff7a7d7d : 0xff9c9e9e;
    const side = Math.max(2, Math.round(2 * ratio));
    const [wide, high] = [across() * ratio, down() * ratio];
    const [addX, addY] = [(width / 2) * ratio - view.x * wide + 0.5, (height / 2) * ratio + view.y * high + 0.5];
    const [lastX, lastY] = [w - side, h - side];
    for (let i = 0; i < count; i++) {
      const px = (x[i] ?? 0) * wide + addX;
      const py = addY - (y[i] ?? 0) * high;
      if (px < 0 || py < 0 || px >= lastX || py >= lastY) continue;
      const at = (py | 0) * w + (px | 0);
      for (let row = 0, next = at; row < side; row++, next += w) for (let n = 0; n < side; n++) pixels[next + n] = ink;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.putImageData(sheet, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  /** The pictures for which there is room: the data has one of each group after the other, so every group shows some.
   * A grid with fields of their size says which others are near. */
  let taken = new Int32Array(0);
  function choose() {
    const size = thumbnail();
    const columns = Math.ceil(width / size) + 5;
    const fields = columns * (Math.ceil(height / size) + 5);
    if (taken.length < fields) taken = new Int32Array(fields);
    taken.fill(-1);
    const chosen = [];
    const [wide, high] = [across(), down()];
    const [addX, addY] = [width / 2 - view.x * wide, height / 2 + view.y * high];
    for (let i = 0; i < count && chosen.length < SHOWN; i++) {
      const px = (x[i] ?? 0) * wide + addX;
      const py = addY - (y[i] ?? 0) * high;
      if (px < -size || py < -size || px > width + size || py > height + size) continue;
      const field = (Math.floor(py / size) + 2) * columns + Math.floor(px / size) + 2;
      if ((taken[field] ?? -1) >= 0) continue; // the usual case: another one lies in the same field
      if (gone.has(i) || isCovered(field, columns, px, py, size)) continue;
      taken[field] = i;
      chosen.push(i);
    }
    return chosen;
  }

  /** @param {number} field @param {number} columns @param {number} px @param {number} py @param {number} size */
  function isCovered(field, columns, px, py, size) {
    for (let row = field - columns; row <= field + columns; row += columns) {
      for (let n = row - 1; n <= row + 1; n++) {
        const other = taken[n] ?? -1;
        if (other >= 0 && Math.abs(left(other) - px) < size && Math.abs(top(other) - py) < size * 0.9) return true;
      }
    }
    return false;
  }

  /** @param {number} i @param {number} size */
  function paint(i, size) {
    const image = images.get(i);
    if (!image) return;
    const by = size / Math.max(image.width, image.height);
    const [w, h] = [image.width * by, image.height * by];
    context.drawImage(image, left(i) - w / 2, top(i) - h / 2, w, h);
  }

  let lettering = "";
  /** @type {Map<string, number>} */
  let widths = new Map();
  function drawNames() {
    if (view.scale > 6 * smallest()) return;
    const isSmall = width < 640;
    const high = isSmall ? 20 : 26;
    const below = (thumbnail() + high) / 2; // so that a name does not hide all pictures of a small island
    /** @type {[number, number, number][]} */
    const boxes = [];
    const font = `600 ${isSmall ? 11 : 13}px system-ui, sans-serif`;
    if (font !== lettering) [lettering, widths] = [font, new Map()];
    context.font = font;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const each of groups) {
      if (!each.size) continue;
      const text = each.name.length > 28 ? `${each.name.slice(0, 14)}…${each.name.slice(-13)}` : each.name;
      const wide = (widths.get(text) ?? context.measureText(text).width) + 16;
      widths.set(text, wide - 16);
      const px = (each.x - view.x) * across() + width / 2;
      const middle = (view.y - each.y) * down() + height / 2;
      const py = middle + below > height - high / 2 ? middle - below : middle + below;
      if (px < wide / 2 || px > width - wide / 2 || py < high / 2 || py > height - high / 2) continue;
      if (px + wide / 2 > width - BUTTONS.wide && py < BUTTONS.high) continue;
      if (boxes.some(([cx, cy, other]) => Math.abs(cx - px) < (other + wide) / 2 && Math.abs(cy - py) < high)) continue;
      boxes.push([px, py, wide]);
      context.fillStyle = color("--page");
      context.globalAlpha = 0.9;
      context.beginPath();
      context.roundRect(px - wide / 2, py - high / 2, wide, high, 6);
      context.fill();
      context.globalAlpha = 1;
      context.fillStyle = color("--ink");
      context.fillText(text, px, py + 1);
    }
  }

  function draw() {
    isWaiting = false;
    drawPoints();
    const size = thumbnail();
    const chosen = choose();
    wanted = chosen.filter((i) => !images.has(i));
    for (let n = chosen.length; n--; ) paint(chosen[n] ?? 0, size);
    drawNames();
    if (at >= 0) {
      paint(at, Math.max(size, 72) * 1.2);
      context.strokeStyle = color("--accent");
      context.lineWidth = 3;
      const half = images.get(at) ? Math.max(size, 72) * 0.6 + 2 : 6;
      context.strokeRect(left(at) - half, top(at) - half, 2 * half, 2 * half);
    }
    if (line.length) drawLine();
    fetchNext();
  }

  function ask() {
    if (!isWaiting && chart.isConnected) {
      isWaiting = true;
      requestAnimationFrame(draw);
    }
  }

  /** @param {number} px @param {number} py */
  function nearest(px, py) {
    const reach = Math.max(12, thumbnail() * 0.6);
    let best = -1;
    let least = reach * reach;
    for (let i = 0; i < count; i++) {
      const far = (left(i) - px) ** 2 + (top(i) - py) ** 2;
      if (far < least) [best, least] = [i, far];
    }
    return best;
  }

  let asking = 0;
  /** @param {number} i @param {string} island */
  async function name(i, island) {
    const answer = await fetch(`/api/v1/images/${ids[i]}`);
    if (answer.ok && i === at) said.textContent = `${String((await answer.json()).display).split("/").pop()} · ${island}`;
  }

  /** @param {number} i */
  function pick(i) {
    if (i === at) return;
    at = i;
    const island = groups[group[i] ?? 0]?.name ?? "";
    said.textContent = i < 0 ? help : island;
    clearTimeout(asking);
    if (i >= 0) asking = setTimeout(() => name(i, island), 200);
    canvas.style.cursor = i < 0 ? "" : "pointer";
    if (i >= 0) images.has(i) || wanted.unshift(i);
    ask();
  }

  /** @param {number} by @param {number} [px] @param {number} [py] */
  function zoom(by, px = width / 2, py = height / 2) {
    const scale = Math.min(Math.max(view.scale * by, smallest() * 0.8), smallest() * 200);
    const [wide, high] = [across(), down()];
    view.scale = scale;
    view.x += (px - width / 2) * (1 / wide - 1 / across());
    view.y -= (py - height / 2) * (1 / high - 1 / down());
    ask();
  }

  /** @param {number} dx @param {number} dy */
  function pan(dx, dy) {
    view.x -= dx / across();
    view.y += dy / down();
    ask();
  }

  function reset() {
    Object.assign(view, { x: 0, y: 0, scale: smallest() });
    ask();
  }

  // A line around some pictures leads to a list of them.

  /** @type {[number, number][]} */
  let line = [];
  const lasso = /** @type {HTMLButtonElement} */ (chart.querySelector("#lasso"));
  const isDrawing = () => lasso.getAttribute("aria-pressed") === "true";

  function drawLine() {
    context.beginPath();
    line.forEach(([px, py], index) => (index ? context.lineTo(px, py) : context.moveTo(px, py)));
    context.closePath();
    context.strokeStyle = color("--accent");
    context.lineWidth = 2;
    context.stroke();
    context.globalAlpha = 0.12;
    context.fillStyle = color("--accent");
    context.fill();
    context.globalAlpha = 1;
  }

  /** @param {number} px @param {number} py */
  function isInside(px, py) {
    let inside = false;
    for (let n = 0, last = line.length - 1; n < line.length; last = n++) {
      const [ax = 0, ay = 0] = line[n] ?? [];
      const [bx = 0, by = 0] = line[last] ?? [];
      if (ay > py !== by > py && px < ((bx - ax) * (py - ay)) / (by - ay) + ax) inside = !inside;
    }
    return inside;
  }

  function leaveLine() {
    const chosen = [];
    for (let i = 0; i < count; i++) if (isInside(left(i), top(i))) chosen.push(ids[i] ?? 0);
    line = [];
    lasso.setAttribute("aria-pressed", "false");
    ask();
    if (!chosen.length) return;
    chosen.sort((one, other) => one - other);
    let text = "";
    let last = 0;
    for (const id of chosen.slice(0, 1000)) {
      const next = `${text && "."}${(id - last).toString(36)}`;
      if (text.length + next.length > LONGEST) break;
      text += next;
      last = id;
    }
    visit(`/map?lasso=${text}`);
  }

  // Pointers: one moves, two zoom, and a click opens.

  /** @type {Map<number, [number, number]>} */
  const fingers = new Map();
  let moved = 0;
  let pinch = 0;
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    canvas.setPointerCapture(event.pointerId);
    moved = pinch = 0;
    if ((event.shiftKey || isDrawing()) && fingers.size === 1) line = [[event.offsetX, event.offsetY]];
  });
  canvas.addEventListener("pointermove", (event) => {
    const old = fingers.get(event.pointerId);
    if (!old) return pick(nearest(event.offsetX, event.offsetY));
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    moved += Math.abs(event.offsetX - old[0]) + Math.abs(event.offsetY - old[1]);
    if (line.length) {
      line.push([event.offsetX, event.offsetY]);
      return ask();
    }
    if (fingers.size === 1) return pan(event.offsetX - old[0], event.offsetY - old[1]);
    const [a, b] = [...fingers.values()];
    if (!a || !b) return;
    const apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
    if (pinch) zoom(apart / pinch, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    pinch = apart;
  });
  canvas.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    if (line.length) return leaveLine();
    const i = moved < 6 ? nearest(event.offsetX, event.offsetY) : -1;
    if (i >= 0) visit(`/pictures/${ids[i]}`);
  });
  canvas.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    line = [];
  });
  canvas.addEventListener("pointerleave", () => fingers.size || pick(-1));
  canvas.addEventListener("dblclick", (event) => zoom(2, event.offsetX, event.offsetY));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
  }, { passive: false });

  /** @type {Record<string, () => void>} */
  const keys = {
    ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
    "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: reset,
    Enter: () => {
      const i = nearest(width / 2, height / 2);
      if (i >= 0) visit(`/pictures/${ids[i]}`);
    },
  };
  canvas.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
  lasso.addEventListener("click", () => lasso.setAttribute("aria-pressed", String(!isDrawing())));
  chart.querySelector("#closer")?.addEventListener("click", () => zoom(1.6));
  chart.querySelector("#farther")?.addEventListener("click", () => zoom(1 / 1.6));
  chart.querySelector("#all")?.addEventListener("click", reset);

  new ResizeObserver(() => {
    const box = canvas.getBoundingClientRect();
    if (!box.width) return;
    const zoomed = width ? view.scale / smallest() : 1;
    [width, height, ratio] = [box.width, box.height, Math.min(devicePixelRatio || 1, 2)];
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    view.scale = zoomed * smallest();
    draw();
  }).observe(canvas);
  isDark.addEventListener("change", () => {
    colors.clear();
    ask();
  });
  chart.dataset.ready = "yes";
}
