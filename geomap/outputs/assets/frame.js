"use strict";
// The map in the frame. It reaches no network and no cookie: it asks the page around it for pictures of tiles, for the legend
// and for what stands at a place, and takes messages from that page alone. Every text is set as text, never as HTML.
const frame = (() => {
  const { names } = JSON.parse(document.getElementById("geomap-data").textContent);
  const map = window[names.map], HOME = location.origin;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const waiting = new Map(), doings = new Map(), texts = {};
  let last = 0;

  const tell = (message) => parent.postMessage(message, HOME);
  const ask = (what, message, answer) => {
    waiting.set(++last, answer);
    tell({ ask: what, n: last, ...message });
    return last;
  };
  const forget = (n) => waiting.delete(n) && tell({ say: "drop", n });
  const on = (name, act) => doings.set(name, [...(doings.get(name) ?? []), act]);
  addEventListener("message", ({ source, origin, data }) => {
    if (source !== parent || origin !== HOME || !data) return;
    if (data.do) return (doings.get(data.do) ?? []).forEach((act) => act(data));
    const answer = waiting.get(data.n);
    if (waiting.delete(data.n)) answer(data);
  });

  const element = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const say = (text) => { document.getElementById("spoken").textContent = text; };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const number = (value, digits = 0) =>
    value.toLocaleString(document.documentElement.lang || "en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const button = (label, path, act) => {
    const made = element("button", { type: "button", title: label, ariaLabel: label });
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    picture.setAttribute("viewBox", "0 0 24 24");
    picture.setAttribute("aria-hidden", "true");
    line.setAttribute("d", path);
    picture.append(line);
    made.append(picture);
    made.addEventListener("click", act);
    return made;
  };
  const control = (node, position) => {
    const made = L.control({ position });
    made.onAdd = () => node;
    L.DomEvent.disableClickPropagation(node);
    L.DomEvent.disableScrollPropagation(node);
    return made.addTo(map);
  };

  // ---- tiles ----

  const SIZE = devicePixelRatio > 1 ? 512 : 256;
  const Pictures = L.GridLayer.extend({
    createTile(at, done) {
      const picture = element("img", { alt: "" });
      picture.n = ask("tile", { layer: this.options.layer, z: at.z, x: at.x, y: at.y, size: SIZE }, ({ bytes }) => {
        if (!bytes) return done(null, picture);
        const address = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
        const end = (error) => { URL.revokeObjectURL(address); done(error, picture); };
        picture.onload = () => end(null);
        picture.onerror = () => end(new Error("no picture"));
        picture.src = address;
      });
      return picture;
    },
  });
  const UNDER = "cover"; // lies below the others, and is chosen by itself
  let shown = null, chosen = "", under = null, facts = {};
  const PALE = 0.45;
  const pictures = (layer, zIndex, opacity = 1) => {
    const made = new Pictures({ layer, zIndex, opacity, maxZoom: 21, maxNativeZoom: facts.maxzoom, noWrap: true, keepBuffer: 1 });
    made.on("tileunload", ({ tile }) => forget(tile.n));
    made.on("load", () => tell({ say: "drawn", layer }));
    return made;
  };
  const pick = (name) => {
    if (name === chosen || name === UNDER || !facts.layers.includes(name)) return;
    const old = shown;
    shown = pictures(name, 3);
    shown.once("load", () => old?.remove());
    setTimeout(() => old?.remove(), 4000);
    shown.addTo(map);
    chosen = name;
    const input = document.querySelector(`.choose input[value="${name}"]`);
    if (input) input.checked = true;
    legend(name, swatches);
  };
  const lay = (isUnder) => {
    under?.remove();
    under = isUnder ? pictures(UNDER, 2, PALE).addTo(map) : null;
    if (isUnder) legend(UNDER, below);
    else below.replaceChildren();
  };

  // ---- which layer, and what its colours mean ----

  const swatches = element("div"), below = element("div");
  const PATTERNS = {
    lines: "repeating-linear-gradient(45deg, #000b 0 2px, transparent 2px 6px)",
    cross: "repeating-linear-gradient(45deg, #000b 0 1.5px, transparent 1.5px 6px), repeating-linear-gradient(-45deg, #000b 0 1.5px, transparent 1.5px 6px)",
    dots: "radial-gradient(#000c 1.5px, transparent 2px) 0 0 / 6px 6px",
    ring: "radial-gradient(transparent 3px, #000c 3.5px 5px, transparent 5.5px)",
  };
  const isColour = (text) => /^#[0-9a-f]{6}$/i.test(text);
  const named = ({ key, label, from, to }, kg) => {
    const value = (one) => number(one / (kg ? facts.unit.kg : 1), kg || !one || one >= 100 ? 0 : 2);
    const ends = [from, to].map((one) => (typeof one === "number" ? value(one) : null));
    if (ends[0] !== null && ends[1] !== null) return `${ends[0]} – ${ends[1]}`;
    if (ends[0] !== null) return `≥ ${ends[0]}`;
    if (ends[1] !== null) return `< ${ends[1]}`;
    return texts[`legend_${key}`] ?? label;
  };
  const legend = (name, place) => ask("legend", { layer: name }, ({ legend: told }) => {
    if (!told || !(name === chosen || (name === UNDER && under))) return;
    const kg = name === "potential";
    const items = told.items.map((item) => {
      const swatch = element("span", { className: "swatch" });
      swatch.style.background = [PATTERNS[item.pattern], isColour(item.color) ? item.color : "transparent"].filter(Boolean).join(", ");
      if (name === UNDER) swatch.style.opacity = PALE;
      if (isColour(item.edge)) swatch.style.borderColor = item.edge;
      return element("li", {}, swatch, element("span", { textContent: named(item, kg) }));
    });
    place.replaceChildren(element("p", { textContent: (texts[`legend_of_${name}`] ?? texts[`layer_${name}`]) + (kg ? `, ${facts.unit.name}` : "") }), element("ul", {}, ...items));
  });
  const choice = (layers) => {
    const input = (type, name, act) => {
      const made = element("input", { type, name: "layer", value: name });
      made.addEventListener("change", () => act(made.checked));
      return element("label", {}, made, element("span", { textContent: texts[`layer_${name}`] }));
    };
    const inputs = layers.map((name) => (name === UNDER ? input("checkbox", name, lay) : input("radio", name, () => pick(name))));
    const fields = element("fieldset", { className: "choose", hidden: layers.length < 2 }, element("legend", { className: "unseen", textContent: texts.layers }), ...inputs);
    control(element("details", { className: "box", open: map.getSize().x > 560 }, element("summary", { textContent: texts.layers }),
      element("div", { className: "inside" }, fields, element("div", { className: "legend" }, swatches, below))), "topright");
  };

  // ---- what is shown, and what stands there ----

  const marks = L.layerGroup().addTo(map), ring = L.layerGroup().addTo(map), busy = new Set();
  const outlined = (shape) => {
    ring.clearLayers();
    if (!shape) return;
    for (const style of [{ color: "#fff", weight: 7 }, { color: "#1d2522", weight: 3 }]) {
      ring.addLayer(L.geoJSON(shape, { style: { ...style, fill: false }, interactive: false,
        pointToLayer: (_, place) => L.circleMarker(place, { ...style, fill: false, radius: 10 }) }));
    }
  };
  const look = (place) => {
    if (busy.size) return;
    ask("at", { lon: place.lng, lat: place.lat, z: Math.round(map.getZoom()) }, ({ shape, label }) => {
      outlined(shape);
      say(label || texts.nothing_there);
    });
  };
  on("show", ({ lon, lat, zoom, shape, label, left = 0, below = 0 }) => { // left, below: pixels that something lies over
    const box = document.querySelector("details.box[open]"), right = box && map.getSize().x > 560 ? box.offsetWidth : 0;
    const middle = map.project([lat, lon], zoom).add([(right - left) / 2, below / 2]);
    map.setView(map.unproject(middle, zoom), zoom, { animate: !calm });
    outlined(shape);
    if (label) say(label);
  });
  on("layer", ({ name }) => pick(name));
  on("mark", ({ places }) => {
    marks.clearLayers();
    for (const [lon, lat] of places) marks.addLayer(L.circleMarker([lat, lon], { radius: 9, weight: 3, color: "#1550a8", fill: false, interactive: false }));
  });
  on("start", (told) => {
    if (facts.layers) return;
    Object.assign(texts, told.texts);
    facts = told;
    document.documentElement.lang = told.language;
    document.title = document.getElementById("title").textContent = texts.title;
    map.getContainer().setAttribute("aria-label", texts.title);
    map.getContainer().setAttribute("role", "application");
    map.setMaxZoom(21);
    map.invalidateSize({ animate: false });
    const [west, south, east, north] = told.bounds;
    map.fitBounds([[south, west], [north, east]], { paddingTopLeft: [64, 24], paddingBottomRight: [24, 40], maxZoom: 17, animate: false });
    for (const [part, name] of [["in", "zoom_in"], ["out", "zoom_out"]]) {
      const link = document.querySelector(`.leaflet-control-zoom-${part}`);
      link?.setAttribute("aria-label", texts[name]);
      link?.setAttribute("title", texts[name]);
    }
    choice(told.layers);
    pick(told.layer);
    map.on("click", ({ latlng }) => look(latlng));
    map.getContainer().addEventListener("keydown", (event) => {
      if (event.target === map.getContainer() && event.key === "Enter") look(map.getCenter());
    });
  });
  return { map, texts, tell, on, element, say, fill, number, button, control, busy, outlined };
})();
