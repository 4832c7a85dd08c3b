"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { names, folders, groups, x, y, group, folder, cell, wide, high, side, columns } = data;
  const count = names.length;
  const canvas = document.getElementById("map");
  const context = canvas.getContext("2d");
  const shown = document.getElementById("shown");
  const said = document.getElementById("said");
  const list = document.getElementById("list");
  const atlas = new Image();
  const view = { x: 0, y: 0, scale: 1 };
  let found = null, at = -1, width = 0, height = 0, ratio = 1, waiting = false;

  const extent = [0.2, 0.2];
  for (let i = 0; i < count; i++) {
    extent[0] = Math.max(extent[0], Math.abs(x[i]));
    extent[1] = Math.max(extent[1], Math.abs(y[i]));
  }

  function fit() {
    view.x = view.y = 0;
    view.scale = 0.46 * Math.min(width / extent[0], height / extent[1]);
  }

  function smallest() {
    return 0.46 * Math.min(width / extent[0], height / extent[1]);
  }

  // A thumbnail grows more slowly than the map, so that zooming in makes room.
  function thumbnail() {
    const zoom = view.scale / smallest();
    const first = Math.max(18, Math.min(72, Math.sqrt(width * height / (3 * count))));
    return Math.min(first * Math.sqrt(zoom), Math.max(side, 96));
  }

  const left = i => (x[i] - view.x) * view.scale + width / 2;
  const top = i => (view.y - y[i]) * view.scale + height / 2;

  function paint(target, i, px, py, size) {
    const long = Math.max(wide[i], high[i]), w = size * wide[i] / long, h = size * high[i] / long;
    const sx = cell[i] % columns * side, sy = Math.floor(cell[i] / columns) * side;
    target.drawImage(atlas, sx, sy, wide[i], high[i], px - w / 2, py - h / 2, w, h);
  }

  function draw() {
    waiting = false;
    const style = getComputedStyle(document.documentElement);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const size = thumbnail(), across = Math.ceil(width / size) + 5;
    const grid = new Map(), thumbnails = [];
    // Whether nothing drawn so far would be covered; a cell holds at most a few pictures.
    const isFree = (px, py, place) => {
      for (const next of [-across - 1, -across, -across + 1, -1, 0, 1, across - 1, across, across + 1]) {
        for (const n of grid.get(place + next) ?? []) {
          if (Math.abs(left(n) - px) < size * 0.95 && Math.abs(top(n) - py) < size * 0.8) return false;
        }
      }
      return true;
    };
    context.fillStyle = style.getPropertyValue("--dot");
    for (let i = 0; i < count; i++) {
      const px = left(i), py = top(i);
      if (px < -size || py < -size || px > width + size || py > height + size) continue;
      const place = (Math.floor(py / size) + 2) * across + Math.floor(px / size) + 2;
      const fits = cell[i] >= 0 && atlas.naturalWidth > 0 && (!found || found[i]);
      context.globalAlpha = found && !found[i] ? 0.25 : 1;
      if (fits && isFree(px, py, place)) {
        grid.set(place, [...(grid.get(place) ?? []), i]);
        thumbnails.push(i);
      } else {
        context.fillRect(px - 1.5, py - 1.5, 3, 3);
      }
    }
    context.globalAlpha = 1;
    // The data has one picture of each group after the other, so that every group shows some.
    for (let n = thumbnails.length; n--;) paint(context, thumbnails[n], left(thumbnails[n]), top(thumbnails[n]), size);
    drawNames(style);
    if (at >= 0) drawChosen(style, size);
  }

  function drawNames(style) {
    if (view.scale > 6 * smallest()) return;
    const boxes = [];
    const small = width < 640, h = small ? 20 : 26;
    const below = (thumbnail() + h) / 2; // so that a name does not hide all pictures of a small island
    context.font = `600 ${small ? 11 : 14}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const each of groups) {
      const text = each.name.length > 28 ? each.name.slice(0, 14) + "…" + each.name.slice(-13) : each.name;
      const w = context.measureText(text).width + (small ? 10 : 16);
      const px = (each.x - view.x) * view.scale + width / 2, middle = (view.y - each.y) * view.scale + height / 2;
      const py = middle + below > height - h / 2 - 4 ? middle - below : middle + below;
      const cx = Math.min(Math.max(px, w / 2 + 4), width - w / 2 - 4), cy = Math.min(Math.max(py, h / 2 + 4), height - h / 2 - 4);
      if (Math.abs(px - cx) > w || Math.abs(py - cy) > 2 * h) continue;
      if (boxes.some(b => Math.abs(b[0] - cx) < (b[2] + w) / 2 && Math.abs(b[1] - cy) < h)) continue;
      boxes.push([cx, cy, w]);
      context.globalAlpha = 0.9;
      context.fillStyle = style.getPropertyValue("--paper");
      context.beginPath();
      context.roundRect(cx - w / 2, cy - h / 2, w, h, 6);
      context.fill();
      context.globalAlpha = 1;
      context.fillStyle = style.getPropertyValue("--ink");
      context.fillText(text, cx, cy + 1);
    }
  }

  function drawChosen(style, size) {
    const px = left(at), py = top(at), long = Math.max(wide[at], high[at], 1);
    const large = cell[at] >= 0 ? size * 1.15 : 0;
    if (large) paint(context, at, px, py, large);
    const w = large * wide[at] / long || 10, h = large * high[at] / long || 10;
    context.strokeStyle = style.getPropertyValue("--accent");
    context.lineWidth = 3;
    context.strokeRect(px - w / 2 - 2, py - h / 2 - 2, w + 4, h + 4);
  }

  function ask() {
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(draw);
    }
  }

  function nearest(px, py, reach) {
    let best = -1, least = reach * reach;
    for (let i = 0; i < count; i++) {
      const dx = left(i) - px, dy = top(i) - py, far = dx * dx + dy * dy;
      if (far < least && (!found || found[i])) {
        least = far;
        best = i;
      }
    }
    return best;
  }

  function choose(i) {
    at = i;
    shown.hidden = i < 0;
    if (i >= 0) {
      const caption = shown.querySelector("figcaption"), small = shown.querySelector("canvas"), name = document.createElement("span");
      caption.textContent = names[i];
      name.textContent = [groups[group[i]].name, folders[folder[i]]].filter((text, n, all) => text && all.indexOf(text) === n).join(" · ");
      caption.append(name);
      small.hidden = cell[i] < 0;
      if (cell[i] >= 0) {
        const long = Math.max(wide[i], high[i]), size = Math.max(128, side);
        small.width = Math.round(size * wide[i] / long) * ratio;
        small.height = Math.round(size * high[i] / long) * ratio;
        small.style.width = small.width / ratio + "px";
        const target = small.getContext("2d");
        target.imageSmoothingQuality = "high";
        paint(target, i, small.width / 2, small.height / 2, size * ratio);
      }
      const px = left(i), py = top(i), box = shown.getBoundingClientRect(), gap = thumbnail() * 0.6 + 10;
      shown.style.left = Math.max(8, Math.min(px + gap + box.width > width ? px - gap - box.width : px + gap, width - box.width - 8)) + "px";
      shown.style.top = Math.max(8, Math.min(py - box.height / 2, height - box.height - 8)) + "px";
    }
    ask();
  }

  function zoom(by, px = width / 2, py = height / 2) {
    const least = smallest(), scale = Math.min(Math.max(view.scale * by, least * 0.8), least * 200);
    view.x += (px - width / 2) * (1 / view.scale - 1 / scale);
    view.y -= (py - height / 2) * (1 / view.scale - 1 / scale);
    view.scale = scale;
    choose(-1);
  }

  function move(dx, dy) {
    view.x -= dx / view.scale;
    view.y += dy / view.scale;
    choose(-1);
  }

  function visit(i) {
    view.x = x[i];
    view.y = y[i];
    view.scale = Math.max(view.scale, 4 * smallest());
    choose(i);
    said.textContent = names[i] + ", " + groups[group[i]].name;
  }

  function resize() {
    const box = canvas.getBoundingClientRect(), first = !width;
    const zoomed = first ? 1 : view.scale / smallest();
    width = box.width;
    height = box.height;
    ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    if (first) fit(); else view.scale = zoomed * smallest();
    draw();
  }

  const fingers = new Map();
  let pinch = 0;
  canvas.addEventListener("pointerdown", event => {
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    canvas.setPointerCapture(event.pointerId);
    canvas.classList.add("moving");
    pinch = 0;
  });
  canvas.addEventListener("pointermove", event => {
    const old = fingers.get(event.pointerId);
    if (!old) {
      choose(nearest(event.offsetX, event.offsetY, Math.max(12, thumbnail() * 0.6)));
      return;
    }
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (fingers.size === 1) {
      move(event.offsetX - old[0], event.offsetY - old[1]);
      return;
    }
    const [a, b] = [...fingers.values()], apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
    if (pinch) zoom(apart / pinch, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    pinch = apart;
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, event => {
      fingers.delete(event.pointerId);
      canvas.classList.remove("moving");
      pinch = 0;
      if (event.pointerType !== "mouse" || kind === "pointerup") choose(nearest(event.offsetX, event.offsetY, Math.max(12, thumbnail() * 0.6)));
    });
  }
  canvas.addEventListener("pointerleave", () => fingers.size || choose(-1));
  canvas.addEventListener("dblclick", event => zoom(2, event.offsetX, event.offsetY));
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
  }, { passive: false });

  const seen = new Set();
  function walk() {
    let best = -1, least = Infinity;
    for (let i = 0; i < count; i++) {
      const far = (x[i] - view.x) ** 2 + (y[i] - view.y) ** 2;
      if (far < least && !seen.has(i) && (!found || found[i])) {
        least = far;
        best = i;
      }
    }
    if (best < 0) return seen.clear();
    seen.add(best);
    visit(best);
  }

  function reset() {
    fit();
    seen.clear();
    choose(-1);
  }
  const keys = {
    ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
    "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: reset, Enter: walk, Escape: () => choose(-1),
  };
  canvas.addEventListener("keydown", event => {
    if (keys[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  document.getElementById("closer").addEventListener("click", () => zoom(1.6));
  document.getElementById("farther").addEventListener("click", () => zoom(1 / 1.6));
  document.getElementById("all").addEventListener("click", reset);

  const PORTION = 200;
  const members = groups.map(() => []);
  for (let i = 0; i < count; i++) members[group[i]].push(i);

  function extend(items, wanted) {
    const start = items.childElementCount;
    for (const i of wanted.slice(start, start + PORTION)) {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.textContent = names[i];
      button.addEventListener("click", () => visit(i));
      button.addEventListener("focus", () => visit(i));
      item.append(button);
      items.append(item);
    }
    if (items.childElementCount >= wanted.length) return;
    const item = document.createElement("li"), more = document.createElement("button");
    more.type = "button";
    more.textContent = "More of " + wanted.length.toLocaleString();
    more.addEventListener("click", () => {
      item.remove();
      const next = items.childElementCount;
      extend(items, wanted);
      items.children[next].firstChild.focus();
    });
    item.append(more);
    items.append(item);
  }

  function listGroups() {
    list.replaceChildren();
    groups.forEach((each, number) => {
      const wanted = members[number].filter(i => !found || found[i]);
      if (!wanted.length) return;
      const details = document.createElement("details"), summary = document.createElement("summary");
      const items = document.createElement("ul"), total = document.createElement("span");
      summary.textContent = each.name;
      total.textContent = wanted.length.toLocaleString();
      summary.append(total);
      details.append(summary, items);
      details.addEventListener("toggle", () => items.childElementCount || extend(items, wanted));
      list.append(details);
    });
  }

  const toggle = document.getElementById("toggle");
  toggle.addEventListener("click", () => {
    list.hidden = !list.hidden;
    toggle.setAttribute("aria-expanded", String(!list.hidden));
    if (!list.hidden) listGroups();
  });

  const note = said.textContent;
  const find = document.getElementById("find");
  find.addEventListener("input", () => {
    const wanted = find.value.trim().toLowerCase();
    found = wanted ? names.map((name, i) => (name + "/" + folders[folder[i]] + "/" + groups[group[i]].name).toLowerCase().includes(wanted)) : null;
    const left = found ? found.filter(Boolean).length : count;
    said.textContent = found ? left.toLocaleString() + " of " + count.toLocaleString() + " found" : note;
    seen.clear();
    if (!list.hidden) listGroups();
    choose(-1);
  });

  new ResizeObserver(resize).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ask);
  atlas.addEventListener("load", ask);
  const source = document.getElementById("atlas").textContent;
  if (source) atlas.src = source;
})();
