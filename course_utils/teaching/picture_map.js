// A map of pictures on a plain canvas: no WebGL, no library, nothing from the network (see picture_map.py).
// Two canvases lie over one another: `base` has the points, and is redrawn only when they look different;
// `over` has what moves with the hand (a ring, a lasso, lines), and is cheap however many points there are.
// Words that come from a table are only ever set as text.

const REACH = 24; // px: how near to a point the mouse must be, or a finger
const CLICK = 5; // px: a drag shorter than this is a click
const MOST = 60; // pictures in the gallery
const MARGIN = 18; // px around the points
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const MODES = ["off", "lasso", "box"];
let views = 0;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Run `draw` once before the next frame, however often it was asked for. */
function onceAFrame(draw) {
  let due = 0;
  return () => {
    due ||= requestAnimationFrame(() => {
      due = 0;
      draw();
    });
  };
}

/** Is the point inside the polygon? A ray to the right of it crosses the outline an odd number of times. */
function isInside(x, y, polygon) {
  let inside = false;
  polygon.forEach(([x1, y1], i) => {
    const [x2, y2] = polygon.at(i - 1);
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1)) inside = !inside;
  });
  return inside;
}

/** At most as many rows as the gallery holds, spread evenly. */
function spread(rows) {
  if (rows.length <= MOST) return rows;
  return Array.from({ length: MOST }, (_, i) => rows[Math.floor((i * rows.length) / MOST)]);
}

/** JupyterLab, VS Code and the course's site say which theme they have; elsewhere the system does. */
function isDark(system) {
  const { jpThemeLight, vscodeThemeKind, theme } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false";
  if (vscodeThemeKind) return vscodeThemeKind.includes("dark");
  if (theme === "light" || theme === "dark") return theme === "dark";
  return system.matches;
}

function render({ model, el }) {
  const data = model.get("_data");
  const { columns, neighbours } = data; // neighbours: of PictureNeighbours alone
  const count = data.points.length;
  const urls = model.get("_sheets").map((jpeg) => URL.createObjectURL(new Blob([jpeg], { type: "image/jpeg" })));
  const system = matchMedia("(prefers-color-scheme: dark)");
  const id = `picture-map-${++views}`;
  const size = Math.sqrt(Math.min(Math.max(20000 / count, 30), 120)); // px, across a marker
  let theme, width, height, xs, ys;
  let current = null; // the image that is looked at
  let drag = null; // { mode, path, adds } while a lasso or a box is drawn
  const ends = []; // what to do when the map is closed
  let before = []; // where the mouse was on the screen

  function listen(trait, listener) {
    model.on(`change:${trait}`, listener);
    ends.push(() => model.off(`change:${trait}`, listener));
  }

  // What is on the page

  const base = make("canvas", { "aria-hidden": "true" });
  const over = make("canvas", {
    tabindex: "0", role: "application", "aria-roledescription": "map of pictures",
    "aria-label": `${data.title}: ${count} images`, "aria-describedby": `${id}-help`,
  });
  const stage = make("div", { class: "pm-stage" }, base, over);
  const legend = make("ul", { class: "pm-legend", "aria-label": "Legend" });
  const card = make("div", { class: "pm-card" });
  const status = make("p", { class: "pm-status", role: "status", "aria-live": "polite" });
  const gallery = make("ul", { class: `pm-gallery ${neighbours ? "pm-nearest" : ""}`, "aria-label": neighbours ? "Nearest images" : "Selected images" });
  const help = make("p", { class: "pm-help", id: `${id}-help` }, data.help);
  const colourBy = chooser("Colour by", columns.map((column) => column.name), "colour");
  const bar = make("div", { class: "pm-bar" }, make("strong", {}, data.title), colourBy);
  const modes = make("fieldset", {}, make("legend", {}, "Draw"));
  for (const mode of MODES) {
    const radio = make("input", { type: "radio", name: id, value: mode });
    radio.onchange = () => (over.dataset.mode = mode);
    modes.append(make("label", {}, radio, mode));
  }
  // A finger must be able to scroll past the map, so there it draws only when asked to.
  over.dataset.mode = neighbours || matchMedia("(pointer: coarse)").matches ? "off" : "lasso";
  modes.querySelector(`[value=${over.dataset.mode}]`).checked = true;
  bar.append(neighbours ? chooser("Distance", Object.keys(neighbours), "metric") : modes);
  const side = make("div", { class: "pm-side" }, legend, card);
  const body = make("div", { class: "pm-body" }, stage, side);
  const root = make("div", { class: "pm" }, bar, body, status, help, gallery);
  // JupyterLab would take keys for its own: Enter edits the cell, and D twice deletes it.
  root.onkeydown = (event) => {
    const isForLab = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
    if (!isForLab) event.stopPropagation();
  };
  el.append(root);

  function chooser(label, choices, trait) {
    const select = make("select", {}, ...choices.map((choice) => make("option", { value: choice }, choice)));
    const show = () => (select.value = model.get(trait));
    select.onchange = () => {
      model.set(trait, select.value);
      model.save_changes();
    };
    listen(trait, show);
    show();
    return make("label", {}, `${label} `, select);
  }

  // What is known about an image

  const coloured = () => columns.find((column) => column.name === model.get("colour"));
  const chosen = () => model.get("selected");
  const text = (column, row) => column.texts[column.codes[row]] ?? data.missing;
  const describe = (row) => `Image ${row}: ${columns.map((each) => `${each.name} ${text(each, row)}`).join(", ")}`;
  const colourOf = (column, group) => column.styles[group][theme];

  function tile(row, attributes) {
    const node = make("span", { class: "pm-tile", ...attributes });
    const { across } = data;
    const place = row % (across * across);
    node.style.backgroundImage = `url(${urls[Math.floor(row / (across * across))]})`;
    node.style.backgroundSize = `${100 * across}%`;
    node.style.backgroundPosition = [place % across, Math.floor(place / across)]
      .map((step) => `${(100 * step) / (across - 1)}%`)
      .join(" ");
    return node;
  }

  function swatch(outline, colour) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "-0.6 -0.6 1.2 1.2");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", outline);
    path.setAttribute("fill", colour);
    svg.append(path);
    return svg;
  }

  function swatchOf(row) {
    const column = coloured();
    return swatch(column.styles[column.group[row]].outline, colourOf(column, column.group[row]));
  }

  // Drawing

  function clean(canvas) {
    const ratio = devicePixelRatio;
    canvas.width = width * ratio; // setting it clears the canvas, too
    canvas.height = height * ratio;
    const ink = canvas.getContext("2d");
    ink.scale(ratio, ratio);
    return ink;
  }

  const drawBase = onceAFrame(() => {
    const ink = clean(base);
    const column = coloured();
    const selected = new Set(neighbours ? [] : chosen());
    const paths = column.styles.map(({ outline }) => {
      const path = new Path2D();
      path.addPath(new Path2D(outline), new DOMMatrix([size, 0, 0, size, 0, 0]));
      return path;
    });
    const all = [...data.points.keys()];
    const behind = all.filter((row) => !selected.has(row));
    ink.lineWidth = 0.8;
    for (const row of selected.size ? [...behind, ...selected] : all) {
      const group = column.group[row];
      ink.globalAlpha = selected.size && !selected.has(row) ? 0.25 : 0.9;
      ink.fillStyle = colourOf(column, group);
      ink.strokeStyle = selected.has(row) ? data.themes[theme].ink : data.themes[theme].ground;
      ink.translate(xs[row], ys[row]);
      ink.fill(paths[group]);
      ink.stroke(paths[group]);
      ink.translate(-xs[row], -ys[row]);
    }
  });

  const drawOver = onceAFrame(() => {
    const ink = clean(over);
    const { ink: dark, ground } = data.themes[theme];
    const ring = (row, radius, thickness) => {
      for (const [colour, extra] of [[ground, 2], [dark, 0]]) {
        ink.strokeStyle = colour;
        ink.lineWidth = thickness + extra;
        ink.beginPath();
        ink.arc(xs[row], ys[row], radius, 0, 2 * Math.PI);
        ink.stroke();
      }
    };
    if (neighbours && chosen().length) {
      const [asked] = chosen();
      ink.strokeStyle = dark;
      for (const row of nearest(asked).rows) {
        ink.beginPath();
        ink.moveTo(xs[asked], ys[asked]);
        ink.lineTo(xs[row], ys[row]);
        ink.stroke();
        ring(row, size * 0.75, 1.2);
      }
      ring(asked, size * 1.1, 2.5);
    }
    if (current !== null) ring(current, size * 0.95, 2);
    if (drag && drag.path.length > 1) {
      ink.beginPath();
      for (const point of outline(drag)) ink.lineTo(...point);
      ink.closePath();
      ink.fillStyle = ink.strokeStyle = dark;
      ink.globalAlpha = 0.1;
      ink.fill();
      ink.globalAlpha = 1;
      ink.lineWidth = 1.5;
      ink.setLineDash([5, 3]);
      ink.stroke();
    }
  });

  function place() {
    width = stage.clientWidth;
    height = Math.min(data.height, width);
    stage.style.height = `${height}px`;
    const [across, up] = data.extent; // one scale for both, or a distance would be longer along one of them
    const scale = Math.min((width - 2 * MARGIN) / across, (height - 2 * MARGIN) / up);
    xs = data.points.map(([x]) => width / 2 + (x - across / 2) * scale);
    ys = data.points.map(([, y]) => height / 2 - (y - up / 2) * scale);
    drawBase();
    drawOver();
  }

  function dress() {
    theme = isDark(system) ? "dark" : "light";
    root.dataset.theme = theme;
    for (const [name, colour] of Object.entries(data.themes[theme])) root.style.setProperty(`--pm-${name}`, colour);
    recolour();
  }

  function recolour() {
    const column = coloured();
    const counts = column.groups.map(() => 0);
    for (const group of column.group) counts[group] += 1;
    legend.replaceChildren(
      ...column.groups.map((name, group) => {
        const sign = swatch(column.styles[group].outline, colourOf(column, group));
        return make("li", {}, sign, make("span", {}, `${name} (${counts[group]})`));
      }),
    );
    look(current);
    showChosen();
  }

  // Looking and choosing

  function look(row) {
    current = row;
    const what = columns.flatMap((column) => [make("dt", {}, column.name), make("dd", {}, text(column, row))]);
    if (row === null) card.replaceChildren(make("p", {}, "No image yet."));
    else {
      const name = make("p", {}, swatchOf(row), `Image ${row}`);
      card.replaceChildren(tile(row, { role: "img", "aria-label": describe(row) }), name, make("dl", {}, ...what));
    }
    drawOver();
  }

  function choose(rows) {
    model.set("selected", [...new Set(rows)].sort((a, b) => a - b));
    model.save_changes();
  }

  /** A click or Enter: ask for the neighbours of an image, or put it into the gallery or out of it. */
  function pick(row) {
    look(row);
    if (neighbours) choose([row]);
    else choose(chosen().includes(row) ? chosen().filter((each) => each !== row) : [...chosen(), row]);
  }

  function showChosen() {
    const rows = chosen();
    const shown = neighbours ? [...rows, ...(rows.length ? nearest(rows[0]).rows : [])] : spread(rows);
    gallery.replaceChildren(
      ...shown.map((row, i) => {
        const words = neighbours ? likeness(row, i) : [text(coloured(), row)];
        const button = make("button", { type: "button" }, tile(row, { "aria-hidden": "true" }));
        button.append(make("span", {}, swatchOf(row), `image ${row}`), ...words.map((each) => make("span", {}, each)));
        button.onpointermove = (event) => hasMoved(event) && look(row);
        button.onfocus = () => look(row);
        button.onclick = () => (neighbours ? pick(row) : look(row));
        return make("li", {}, button);
      }),
    );
    if (shown.length < rows.length) {
      gallery.append(make("li", { class: "pm-more" }, `${MOST} of ${rows.length}, spread evenly`));
    }
    const about = neighbours ? "No image is chosen." : "No image is selected.";
    say(rows.length ? (neighbours ? summary(rows[0]) : `${rows.length} of ${count} images selected.`) : about);
    drawBase();
    drawOver();
  }

  function say(words) {
    status.textContent = words;
  }

  // Neighbours: `nearest` gives their rows and distances, nearest first

  const nearest = (row) => {
    const { rows, distances } = neighbours[model.get("metric")];
    return { rows: rows[row], distances: distances[row] };
  };

  const isShared = (column, a, b) => column.codes[a] >= 0 && column.codes[a] === column.codes[b];
  const compared = (data.compared ?? []).map((each) => ({ ...columns.find(({ name }) => name === each.name), ...each }));

  function likeness(row, place) {
    const [asked] = chosen();
    if (!place) return ["chosen"];
    const same = compared.filter((column) => isShared(column, asked, row));
    return [
      `distance ${nearest(asked).distances[place - 1]}`,
      ...same.map((column) => {
        const line = make("span", { class: "pm-same" }, `same ${column.word}`);
        line.style.setProperty("--pm-same", column[theme]);
        return line;
      }),
    ];
  }

  /** How many of the nearest share what, beside how many would by chance: the same share of all the others. */
  function summary(asked) {
    const { rows } = nearest(asked);
    const known = compared.filter((column) => column.codes[asked] >= 0);
    const parts = known.map((column, i) => {
      const those = (some) => some.filter((row) => row !== asked && isShared(column, asked, row)).length;
      const chance = (rows.length * those([...data.points.keys()])) / (count - 1);
      const [have, by] = i ? ["", ""] : ["have ", "by chance "];
      return `${those(rows)} ${have}the same ${column.word} (${by}${chance.toFixed(1)})`;
    });
    return `Of the ${rows.length} nearest to image ${asked}, ${parts.join(", ") || "nothing is compared"}.`;
  }

  // Mouse and finger

  /** Browsers report a mouse at rest, too, when the page moves below it: keys would then start from there. */
  function hasMoved({ screenX, screenY }) {
    const moved = screenX !== before[0] || screenY !== before[1];
    before = [screenX, screenY];
    return moved;
  }

  function under(event) {
    const box = over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function nearestOnMap([x, y]) {
    let [found, best] = [null, REACH ** 2];
    for (let row = 0; row < count; row += 1) {
      const distance = (xs[row] - x) ** 2 + (ys[row] - y) ** 2;
      if (distance < best) [found, best] = [row, distance];
    }
    return found;
  }

  function outline({ mode, path }) {
    if (mode === "lasso") return path;
    const [[x1, y1], [x2, y2]] = [path[0], path.at(-1)];
    return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
  }

  over.onpointerdown = (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    const mode = event.shiftKey && !neighbours ? "box" : over.dataset.mode;
    drag = { mode, path: [under(event)], adds: event.ctrlKey || event.metaKey };
    if (mode !== "off") over.setPointerCapture(event.pointerId);
  };

  over.onpointermove = (event) => {
    if (drag && drag.mode !== "off") {
      drag.path.push(under(event));
      drawOver();
      return;
    }
    const row = hasMoved(event) ? nearestOnMap(under(event)) : null;
    if (row !== null && row !== current) look(row);
  };

  over.onpointerup = (event) => {
    if (!drag) return;
    const done = drag;
    drag = null;
    over.focus({ preventScroll: true });
    const [x, y] = done.path[0];
    const isClick = done.path.every((point) => Math.hypot(point[0] - x, point[1] - y) < CLICK);
    if (isClick) {
      const row = nearestOnMap(under(event));
      if (row !== null) pick(row);
      else if (!neighbours) choose([]);
    } else if (done.mode !== "off") {
      const polygon = outline(done);
      const rows = [...data.points.keys()].filter((row) => isInside(xs[row], ys[row], polygon));
      choose(done.adds ? [...chosen(), ...rows] : rows);
    }
    drawOver();
  };

  over.onpointercancel = () => {
    drag = null; // the page scrolls instead
    drawOver();
  };

  // Keys

  /** The nearest point within 45° of a direction. */
  function step([dx, dy]) {
    let [found, best] = [current, Infinity];
    for (let row = 0; row < count; row += 1) {
      const [x, y] = [xs[row] - xs[current], ys[row] - ys[current]];
      const ahead = x * dx + y * dy;
      const distance = Math.hypot(x, y);
      if (ahead > 0 && ahead >= Math.abs(x * dy + y * dx) && distance < best) [found, best] = [row, distance];
    }
    return found;
  }

  over.onkeydown = (event) => {
    const turns = { Home: 0, End: count - 1, PageUp: Math.max(current - 1, 0), PageDown: Math.min(current + 1, count - 1) };
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (key === "Escape") {
      drag = null;
      choose([]);
    } else if (key === "Enter" && current !== null) pick(current);
    else if (key in ARROWS || key in turns) {
      look(current === null ? 0 : key in turns ? turns[key] : step(ARROWS[key]));
      say(`${describe(current)}${chosen().includes(current) ? ", selected" : ""}.`);
    } else return;
    event.preventDefault(); // or the page would scroll
  };

  // What may change from outside

  const resized = new ResizeObserver(place);
  const themed = new MutationObserver(dress);
  listen("colour", recolour);
  listen("selected", showChosen);
  if (neighbours) listen("metric", showChosen);
  system.addEventListener("change", dress);
  themed.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind", "data-theme"] });
  place();
  dress();
  resized.observe(stage);

  return () => {
    resized.disconnect();
    themed.disconnect();
    system.removeEventListener("change", dress);
    ends.forEach((end) => end());
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };
