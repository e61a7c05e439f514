"use strict";
// Labels, popups, table and search of a map page. Folium drew the shapes with whole numbers as ids; every text comes from the
// page's JSON block and is set as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("geomap-data").textContent);
  const map = window[data.names.map];
  const shapes = window[data.names.shapes];
  const marks = window[data.names.marks];
  const gone = window[data.names.gone]; // left out: no row of the table, so nothing to open
  const byId = (id) => document.getElementById(id);
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const PAGE = 200;

  const element = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const number = (value, digits) =>
    value === null ? "–" : value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const shown = (value, kind) => {
    if (kind === "text") return value === null ? "" : String(value);
    return number(value, kind === "ha" ? 1 : 0);
  };

  // The legend and the cooperatives
  const legendList = (title, classes) => {
    const items = classes.map(({ label, color, mark, gone }) => {
      const swatch = element("span", { className: mark ? "swatch mark" : gone ? "swatch gone" : "swatch" });
      if (color) swatch.style.backgroundColor = color;
      return element("li", {}, swatch, element("span", { textContent: label }));
    });
    byId("legend").append(element("div", {}, element("h2", { textContent: title }), element("ul", {}, ...items)));
  };
  for (const { title, classes } of data.legend) legendList(title, classes);
  if (data.credit) byId("legend").append(element("p", { className: "credit", textContent: data.credit }));

  const widest = Math.max(...data.cooperatives.map((one) => one.p90 ?? 0));
  for (const { name, mean, p10, p90, words } of data.cooperatives) {
    const item = element("li", {}, element("div", { className: "name" }, element("span", { textContent: name }),
      element("span", { textContent: mean === null ? "suppressed" : `${number(mean, 0)} kg` })));
    if (mean !== null) {
      const range = element("i"), middle = element("b");
      range.style.left = `${(100 * p10) / widest}%`;
      range.style.right = `${100 - (100 * p90) / widest}%`;
      middle.style.left = `${(100 * mean) / widest}%`;
      item.append(element("div", { className: "bar", ariaHidden: "true" }, range, middle));
    }
    item.append(element("p", { className: "soft", textContent: words.join(" · ") }));
    byId("cooperatives").append(item);
  }
  if (data.more_cooperatives) byId("cooperatives").append(element("li", { className: "soft", textContent: data.more_cooperatives }));
  for (const line of data.left_out) byId("left-out-list").append(element("li", { textContent: line }));
  byId("left-out").hidden = data.left_out.length === 0;

  // The map; it is fitted here, once the legend has its height
  const layers = new Map();
  const box = (layer) => (layer.getBounds ? layer.getBounds() : layer.getLatLng().toBounds(60));
  const content = (row) => {
    const facts = [...data.columns.slice(1), ...data.facts].flatMap(({ label, kind }, k) => {
      const value = [...data.rows[row].slice(1), ...data.details[row]][k];
      return value === null || value === "" ? [] : [element("dt", { textContent: label }), element("dd", { textContent: shown(value, kind) })];
    });
    const parts = [element("h3", { textContent: shown(data.rows[row][0], "text") }), element("dl", {}, ...facts)];
    const notes = (data.notes[row] ?? []).map((text) => element("li", { textContent: text }));
    return element("div", {}, ...parts, ...(notes.length ? [element("ul", {}, ...notes)] : []));
  };
  const ring = L.featureGroup().addTo(map);
  const choose = (row, place) => {
    const layer = layers.get(row);
    document.querySelectorAll("tr.chosen").forEach((line) => line.classList.remove("chosen"));
    document.querySelector(`tr[data-row="${row}"]`)?.classList.add("chosen");
    byId("spoken").textContent = data.rows[row].map((value, k) => `${data.columns[k].label} ${shown(value, data.columns[k].kind)}`).join(", ");
    ring.clearLayers();
    if (!layer) return map.closePopup();
    for (const line of [{ color: "#fff", weight: 8 }, { color: "#0b5d6b", weight: 4 }]) {
      const style = { ...line, fill: false, interactive: false };
      ring.addLayer(layer.getLatLngs ? L.polygon(layer.getLatLngs(), style) : L.circleMarker(layer.getLatLng(), { ...style, radius: 9 }));
    }
    const room = { maxWidth: Math.min(300, map.getSize().x - 160), maxHeight: map.getSize().y * 0.7 };
    const beside = { autoPanPaddingTopLeft: [56, 12], autoPanPaddingBottomRight: [64, 12] };
    L.popup({ ...room, ...beside }).setLatLng(place ?? box(layer).getCenter())
      .setContent(content(row)).openOn(map);
  };
  const zoomTo = (row) => {
    const layer = layers.get(row);
    if (layer) {
      map.fitBounds(box(layer).pad(data.dots ? 1.5 : 0.25), { maxZoom: 17, animate: !calm });
      byId("legend").parentElement.querySelector(".map").scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
    }
    choose(row);
  };
  const onClick = (layer) => layer.on("click", (event) => {
    L.DomEvent.stopPropagation(event);
    choose(layer.feature.properties.i, event.latlng);
  });
  map.setMaxZoom(19);
  map.invalidateSize({ animate: false });
  if (data.area) {
    const [west, south, east, north] = data.area;
    map.fitBounds([[south, west], [north, east]], { padding: [28, 28], maxZoom: 16, animate: false });
  }
  shapes?.eachLayer((layer) => onClick(layer) && layers.set(layer.feature.properties.i, layer));
  marks?.eachLayer(onClick);

  // Plots of a few pixels are drawn as dots until they are large enough to be seen
  const addDots = (group, style, opens = true) => {
    const dots = L.layerGroup();
    const sizes = [];
    group.eachLayer((layer) => {
      if (!layer.getBounds) return;
      const bounds = layer.getBounds();
      sizes.push(map.project(bounds.getNorthEast(), 10).distanceTo(map.project(bounds.getSouthWest(), 10)));
      const dot = L.circleMarker(bounds.getCenter(), { ...style, ...(style.fill === false ? {} : { fillColor: layer.options.fillColor }) });
      dot.feature = layer.feature;
      dots.addLayer(opens ? onClick(dot) : dot);
    });
    const median = sizes.sort((a, b) => a - b)[Math.floor(sizes.length / 2)];
    const update = () => {
      const small = map.hasLayer(group) && median * 2 ** (map.getZoom() - 10) < 14;
      if (small !== map.hasLayer(dots)) small ? dots.addTo(map) : dots.remove();
    };
    map.on("zoomend", update);
    group.on("add remove", update);
    update();
  };
  if (data.dots && shapes) addDots(shapes, { radius: 5, weight: 1, color: "#fff", fillOpacity: 1 });
  if (data.dots && marks) addDots(marks, { radius: 8, weight: 2, color: "#a3155a", dashArray: "3 3", fill: false });
  if (data.dots && gone) addDots(gone, { radius: 7, weight: 2, color: "#1b1b1b", dashArray: "1 4", fill: false }, false);

  // Totals written into cells that are wide enough
  if (data.labels) {
    const labels = [...layers].filter(([row]) => data.labels[row]).map(([row, layer]) => {
      const text = element("span", { textContent: data.labels[row] });
      return { layer, label: L.tooltip({ permanent: true, direction: "center", className: "cell-label", interactive: false })
        .setLatLng(layer.getBounds().getCenter()).setContent(text) };
    });
    const update = () => labels.forEach(({ layer, label }) => {
      const { _northEast: far, _southWest: near } = layer.getBounds();
      const wide = map.hasLayer(shapes) && map.latLngToLayerPoint(far).x - map.latLngToLayerPoint(near).x > 64;
      if (wide !== map.hasLayer(label)) wide ? label.addTo(map) : label.remove();
    });
    map.on("zoomend", update);
    shapes?.on("add remove", update);
    update();
  }

  L.control.scale({ imperial: false }).addTo(map);
  map.getContainer().setAttribute("aria-label", data.map_label);
  if (document.fullscreenEnabled) {
    const Full = L.Control.extend({
      options: { position: "topleft" },
      onAdd: () => {
        const button = element("button", { type: "button", title: "Full screen", ariaLabel: "Full screen" });
        const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        for (const [name, value] of Object.entries({ width: 16, height: 16, viewBox: "0 0 16 16", "aria-hidden": true })) drawn.setAttribute(name, value);
        for (const [name, value] of Object.entries({ d: "M1 6V1h5M10 1h5v5M15 10v5h-5M6 15H1v-5", fill: "none", stroke: "currentColor", "stroke-width": 2 })) path.setAttribute(name, value);
        drawn.append(path);
        button.append(drawn);
        const area = map.getContainer().parentElement;
        button.addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : area.requestFullscreen()));
        const bar = element("div", { className: "leaflet-bar leaflet-control" }, button);
        L.DomEvent.disableClickPropagation(bar);
        return bar;
      },
    });
    map.addControl(new Full());
  }
  if (data.empty) map.getContainer().parentElement.append(element("p", { className: "empty", textContent: data.empty }));

  // The table: sorted, searched, shown in pages
  const bare = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const found = data.rows.map((row, k) => bare([...row, ...data.details[k]].filter((value) => typeof value === "string").join("\n")));
  let order = data.rows.map((_, k) => k);
  let page = PAGE;
  const flagged = new Set(data.flagged);
  const line = (row) => {
    const cells = data.columns.map(({ kind }, k) => {
      const text = shown(data.rows[row][k], kind);
      if (k) return element("td", { className: kind === "text" ? "" : "number", textContent: text });
      const cell = element("td", {}, element("button", { type: "button", textContent: text }));
      if (flagged.has(row)) cell.append(element("span", { className: "flag", textContent: "finding" }));
      return cell;
    });
    const node = element("tr", {}, ...cells);
    node.dataset.row = row;
    return node;
  };
  const draw = () => {
    const words = bare(byId("search").value).split(/\s+/).filter(Boolean);
    const fitting = order.filter((row) => words.every((word) => found[row].includes(word)));
    byId("rows").replaceChildren(...fitting.slice(0, page).map(line));
    byId("more").hidden = fitting.length <= page;
    byId("count").textContent = `${number(fitting.length, 0)} of ${number(data.rows.length, 0)} ${data.noun}`;
  };
  const sortBy = (column, head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of byId("head").querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const compare = data.columns[column].kind === "text" ? new Intl.Collator("en", { numeric: true }).compare : (a, b) => a - b;
    const key = (row) => data.rows[row][column];
    order.sort((a, b) => (key(a) === null) - (key(b) === null) || (down ? -1 : 1) * compare(key(a), key(b)) || a - b);
    page = PAGE;
    draw();
  };
  byId("head").append(element("tr", {}, ...data.columns.map(({ label, kind }, k) => {
    const head = element("th", { scope: "col", className: kind === "text" ? "" : "number" });
    const button = element("button", { type: "button", textContent: label });
    button.addEventListener("click", () => sortBy(k, head));
    head.append(button);
    return head;
  })));
  byId("rows").addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) zoomTo(Number(row.dataset.row));
  });
  byId("search").addEventListener("input", () => { page = PAGE; draw(); });
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") byId("rows").querySelector("button")?.click();
  });
  byId("more").addEventListener("click", () => { page += PAGE; draw(); });
  byId("search-box").hidden = data.rows.length < 8;
  draw();
})();
