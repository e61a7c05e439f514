"use strict";
// An outline that a person draws or changes: a handle at each corner, one between two corners, undo, and what is odd about it.
(() => {
  const { map, texts, on, tell, element, button, control, number, say, fill, busy } = frame;
  const COLOUR = "#a3155a", MOST_HANDLES = 160, MOST_CHECKED = 400, MOST_UNDONE = 50;
  const STEPS = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
  let shape = [], before = [], facts = {}, undone = [], chosen = null, drawing = false, begun = false, held = false, common = null;

  const over = L.layerGroup().addTo(map), lines = L.layerGroup().addTo(map), handles = L.layerGroup().addTo(map);
  const says = element("div", { className: "box says leaflet-control" });
  const words = element("div"), warned = element("div");
  const tool = (label, act) => {
    const made = element("button", { type: "button", textContent: label });
    made.addEventListener("click", act);
    return made;
  };
  const rings = () => shape.flatMap((polygon, p) => polygon.map((ring, r) => ({ ring, p, r })));
  const rounded = (value) => Math.round(value * 1e7) / 1e7;
  const areaOf = (one) => one.reduce((sum, polygon) => sum + polygon.reduce((all, ring, r) => all + (r ? -1 : 1) * frame.areaOf(ring), 0), 0);
  const latLngs = (one) => one.map((polygon) => polygon.map((ring) => ring.map(([lon, lat]) => [lat, lon])));

  // ---- what is odd about it ----

  const turn = (a, b, c) => Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
  const crosses = (ring) => {
    const n = ring.length;
    for (let i = 0; i < n; i++) {
      for (let j = i + 2; j < n; j++) {
        if (i === 0 && j === n - 1) continue;
        const [a, b, c, d] = [ring[i], ring[i + 1], ring[j], ring[(j + 1) % n]];
        if (turn(a, b, c) !== turn(a, b, d) && turn(c, d, a) !== turn(c, d, b)) return true;
      }
    }
    return false;
  };
  const middle = (one) => {
    const corners = one.flat(2);
    return L.latLng(...[1, 0].map((k) => (Math.min(...corners.map((at) => at[k])) + Math.max(...corners.map((at) => at[k]))) / 2));
  };
  const odd = (m2) => {
    const found = common ? [texts.edit_over] : [];
    if (rings().some(({ ring }) => ring.length <= MOST_CHECKED && crosses(ring))) found.push(texts.edit_crosses);
    if (m2 < facts.small_ha * 10000) found.push(texts.edit_small);
    if (before.length && middle(shape).distanceTo(middle(before)) > facts.far_m) {
      found.push(fill(texts.edit_far, { metres: number(middle(shape).distanceTo(middle(before))) }));
    }
    return found;
  };
  const against = (text, m2, other) =>
    fill(text, { area: frame.hectares(other), change: `${m2 >= other ? "+" : "−"}${number((100 * Math.abs(m2 - other)) / other)} %` });
  const tellAbout = () => {
    const whole = shape.length > 0 && rings().every(({ ring }) => ring.length > 2);
    const m2 = areaOf(shape), parts = [];
    if (whole && before.length) parts.push(against(texts.edit_before, m2, areaOf(before)));
    if (whole && facts.declared_ha > 0) parts.push(against(texts.edit_declared, m2, facts.declared_ha * 10000));
    words.replaceChildren(element("strong", { textContent: whole ? frame.hectares(m2) : texts.edit_draw }),
      ...parts.map((text) => element("div", { textContent: text })));
    warned.replaceChildren(...(whole ? odd(m2) : []).map((text) => element("div", { textContent: `⚠ ${text}` })));
    undo.disabled = undone.length === 0;
    remove.disabled = !chosen;
    finish.hidden = !drawing;
    finish.disabled = !whole;
    remove.hidden = drawing;
  };

  // ---- changes ----

  const remember = () => { undone = [...undone.slice(1 - MOST_UNDONE), JSON.stringify(shape)]; };
  const changed = () => {
    common = null; // of the outline as it was: the service looks again when it is saved
    draw();
    tell({ say: "outline", outline: shape });
  };
  const ringAt = ({ p, r }) => shape[p]?.[r];
  const moveBy = (at, [dx, dy], metres) => {
    const corner = ringAt(at)[at.k], of = frame.metres(corner[1]);
    remember();
    ringAt(at)[at.k] = [rounded(corner[0] + (dx * metres) / of.lon), rounded(corner[1] + (dy * metres) / of.lat)];
    changed();
    say(`${label(at)}, ${frame.hectares(areaOf(shape))}`);
  };
  const insert = (at, [lon, lat]) => {
    remember();
    ringAt(at).splice(at.k + 1, 0, [rounded(lon), rounded(lat)]);
    chosen = { ...at, k: at.k + 1 };
    changed();
  };
  const drop = () => {
    const ring = chosen && ringAt(chosen);
    if (!ring) return;
    if (ring.length <= 3 && chosen.r === 0 && !drawing) return say(texts.edit_three);
    remember();
    if (ring.length <= 3 && chosen.r > 0) {
      shape[chosen.p].splice(chosen.r, 1);
      chosen = null;
    } else {
      ring.splice(chosen.k, 1);
      chosen = ring.length ? { ...chosen, k: chosen.k % ring.length } : null;
    }
    changed();
    say(texts.edit_removed);
  };
  const takeBack = () => {
    if (!undone.length) return;
    shape = JSON.parse(undone.pop());
    chosen = null;
    if (!shape.flat(2).length) aim(true);
    changed();
    say(texts.edit_undone);
  };
  const extend = ({ lat, lng }) => {
    remember();
    if (!shape.length) shape = [[[]]];
    shape[0][0].push([rounded(lng), rounded(lat)]);
    changed();
  };

  // ---- what is drawn ----

  const label = ({ p, r, k }) => fill(texts.edit_corner, { number: k + 1, count: shape[p][r].length });
  const icon = (name) => L.divIcon({ className: name, iconSize: [32, 32] });
  const aim = (isDrawing) => {
    drawing = isDrawing;
    document.querySelector("main").classList.toggle("aiming", drawing);
    if (drawing) map.doubleClickZoom.disable();
    else map.doubleClickZoom.enable();
  };
  const redrawLines = () => {
    lines.clearLayers();
    over.clearLayers();
    if (common) over.addLayer(L.geoJSON(common, { style: { color: "#8f1d14", weight: 2, dashArray: "3 3", fillColor: "#c8281b", fillOpacity: 0.5 }, interactive: false }));
    if (before.length) lines.addLayer(L.polygon(latLngs(before), { color: "#1d2522", weight: 1.5, dashArray: "4 4", fill: false, interactive: false }));
    const style = { weight: 3, color: COLOUR, fillOpacity: 0.12, interactive: false };
    for (const outline of [{ ...style, color: "#fff", weight: 6, fill: false }, style]) lines.addLayer(L.polygon(latLngs(shape), outline));
  };
  const handle = (at, [lon, lat], name, act) => {
    const made = L.marker([lat, lon], { draggable: true, autoPan: true, icon: icon(name), zIndexOffset: name === "corner" ? 100 : 0 });
    handles.addLayer(made);
    const node = made.getElement();
    node.setAttribute("aria-label", name === "between" ? texts.edit_add : label(at));
    node.addEventListener("keydown", (event) => act(event));
    return made;
  };
  const addCorner = (at) => {
    const made = handle(at, ringAt(at)[at.k], "corner", (event) => {
      if (STEPS[event.key]) moveBy(at, STEPS[event.key], event.shiftKey ? 10 : 1);
      else if (event.key === "Delete" || event.key === "Backspace") drop();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    const node = made.getElement(), isChosen = chosen && ["p", "r", "k"].every((key) => chosen[key] === at[key]);
    node.classList.toggle("chosen", Boolean(isChosen));
    const choose = () => {
      chosen = at;
      handles.eachLayer((one) => one.getElement().classList.remove("chosen"));
      node.classList.add("chosen");
      remove.disabled = false;
    };
    node.addEventListener("focus", choose);
    made.on("click", choose);
    made.on("dragstart", () => { held = true; choose(); remember(); });
    made.on("drag", () => {
      const { lat, lng } = made.getLatLng();
      ringAt(at)[at.k] = [rounded(lng), rounded(lat)];
      redrawLines();
      tellAbout();
    });
    made.on("dragend", () => { held = false; changed(); });
    if (isChosen) node.focus({ preventScroll: true });
  };
  const addBetween = (at) => {
    const ring = ringAt(at), [a, b] = [ring[at.k], ring[(at.k + 1) % ring.length]];
    const between = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const far = map.latLngToLayerPoint([a[1], a[0]]).distanceTo(map.latLngToLayerPoint([b[1], b[0]])) > 60;
    if (!far) return;
    const made = handle(at, between, "between", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      insert(at, between);
    });
    made.on("click", () => insert(at, between));
    made.on("dragstart", () => { held = true; });
    made.on("dragend", () => { held = false; const { lat, lng } = made.getLatLng(); insert(at, [lng, lat]); });
  };
  const draw = () => {
    redrawLines();
    handles.clearLayers();
    const view = map.getBounds().pad(0.1), seen = [];
    for (const { ring, p, r } of rings()) ring.forEach(([lon, lat], k) => view.contains([lat, lon]) && seen.push({ p, r, k }));
    if (seen.length <= MOST_HANDLES) {
      seen.forEach(addCorner);
      if (!drawing && seen.length <= MOST_HANDLES / 2) seen.forEach(addBetween);
    }
    tellAbout();
    if (seen.length > MOST_HANDLES) words.append(element("div", { textContent: texts.edit_zoom }));
  };

  const undo = tool("", takeBack), remove = tool("", drop), finish = tool("", () => { aim(false); draw(); map.getContainer().focus(); });
  const begin = () => {
    begun = true;
    busy.add("edit");
    document.body.classList.add("editing");
    [[undo, "edit_undo"], [remove, "edit_remove"], [finish, "edit_finish"]].forEach(([one, name]) => { one.textContent = texts[name]; });
    says.append(words, warned, element("div", { className: "tools" }, undo, remove, finish));
    document.querySelector(".leaflet-top.middle").append(says);
    L.DomEvent.disableClickPropagation(says);
    map.on("click", ({ latlng }) => drawing && !busy.has("measure") && extend(latlng));
    map.on("moveend zoomend", () => held || draw());
    addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "z") takeBack();
      else if (drawing && !busy.has("measure") && event.key === "Enter" && event.target === map.getContainer()) extend(map.getCenter());
    });
  };
  on("edit", (told) => {
    if (!begun) begin();
    shape = told.outline;
    before = told.before ?? before;
    facts = { ...facts, ...told };
    undone = [];
    chosen = null;
    common = told.common ?? null;
    aim(shape.length === 0);
    const corners = [...shape, ...before].flat(2).map(([lon, lat]) => [lat, lon]);
    if (corners.length && told.fit !== false) map.fitBounds(L.latLngBounds(corners).pad(0.3), { maxZoom: 20, animate: false });
    draw();
  });
  tell({ say: "ready" }); // this script is the last
})();
