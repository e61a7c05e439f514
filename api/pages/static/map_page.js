// The page around a map: hands the frame its pictures, and shows what stands where somebody taps. From the frame it takes
// only known names and numbers in range, and only where the message comes from its own frame.
"use strict";
for (const stage of document.querySelectorAll("[data-map]")) {
  const told = JSON.parse(stage.dataset.map), words = told.texts;
  const land = (name) => (Object.hasOwn(told.classes, name) ? told.classes[name] : name);
  const inside = stage.querySelector("iframe"), card = stage.querySelector(".found");
  const AT_ONCE = 6, MOST_CORNERS = 10000, AGAIN = 3, WAIT_S = 5, SAY_AFTER_MS = 1500;
  const waiting = [], running = new Map();
  let ready = false;
  const isWhole = (value, most) => Number.isInteger(value) && value >= 0 && value <= most;
  const isBetween = (value, least, most) => typeof value === "number" && value >= least && value <= most;
  const isPlace = (one) => Array.isArray(one) && one.length === 2 && isBetween(one[0], -180, 180) && isBetween(one[1], -90, 90);
  const send = (message, given = []) => inside.contentWindow.postMessage(message, "*", given); // a sandboxed frame has no origin to name
  const get = async (path, left = AGAIN) => {
    const answer = await fetch(path, { credentials: "same-origin" });
    if (answer.status === 401) location.reload();
    if (left && (answer.status === 429 || answer.status === 503)) { // busy: as long as it says, and once more
      const seconds = Number(answer.headers.get("Retry-After")) || WAIT_S;
      await answer.text(); // what is not read to its end holds a connection
      await new Promise((go) => setTimeout(go, 1000 * seconds));
      return get(path, left - 1);
    }
    return answer.ok ? answer : null;
  };
  const json = async (path) => (await get(path).catch(() => null))?.json() ?? null;
  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children.filter((one) => one !== null));
    return node;
  };

  // ---- what the frame asks for ----

  const next = () => {
    while (running.size < AT_ONCE && waiting.length) {
      const { n, path } = waiting.shift();
      running.set(n, true);
      get(path).then((answer) => answer?.arrayBuffer() ?? null).catch(() => null).then((bytes) => {
        if (running.get(n)) send({ n, bytes }, bytes ? [bytes] : []);
        running.delete(n);
        next();
      });
    }
  };
  const asked = {
    tile: ({ n, layer, z, x, y, size }) => {
      if (!told.layers.includes(layer) || !isWhole(z, 22) || !isWhole(x, 2 ** z - 1) || !isWhole(y, 2 ** z - 1)) return;
      waiting.push({ n, path: `${told.at}/pictures/${layer}/${z}/${x}/${y}.png${size === 512 ? "?size=512" : ""}` });
      next();
    },
    legend: async ({ n, layer }) => {
      if (!told.layers.includes(layer)) return;
      const legend = await json(`${told.at}/legend/${layer}`);
      send({ n, legend: legend && { ...legend, items: legend.items.map((item) => ({ ...item, label: land(item.label) })) } });
    },
    at: async ({ n, lon, lat, z }) => {
      if (!isPlace([lon, lat]) || !isWhole(z, 22)) return;
      const found = await look(lon, lat, z);
      send({ n, shape: found[0]?.outline ?? null, label: found.map((one) => `${words.plot} ${one.plot_id}`).join(", ") });
    },
  };
  const said = {
    ready: async () => {
      const { at, layers, layer, language, texts, bounds, unit } = told, making = stage.querySelector(".making");
      const late = setTimeout(() => { making.textContent = making.dataset.text; }, SAY_AFTER_MS);
      const facts = await json(`${at}/tiles.json`); // the first to ask waits until the plots are read; pictures come after
      clearTimeout(late);
      making.textContent = "";
      stage.querySelector(".failed").hidden = Boolean(facts);
      if (!facts) return;
      told.layers = layers.filter((name) => facts.layers.includes(name));
      send({ do: "start", layers: told.layers, layer, language, texts, unit, bounds: bounds ?? facts.bounds, maxzoom: facts.maxzoom });
      ready = true;
      if (told.places.length) send({ do: "mark", places: told.places });
      if (told.edit) send({ do: "edit", ...told.edit });
      if (told.show) show(told.show);
    },
    drop: ({ n }) => {
      const place = waiting.findIndex((one) => one.n === n);
      if (place >= 0) waiting.splice(place, 1);
      else if (running.has(n)) running.set(n, false); // the service draws it in any case: its place is free when it is done
    },
    drawn: ({ layer }) => { if (told.layers.includes(layer)) stage.dataset.drawn = layer; },
    full: () => {
      if (document.fullscreenElement) document.exitFullscreen();
      else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => stage.classList.toggle("whole"));
      else stage.classList.toggle("whole");
    },
    outline: ({ outline }) => { if (told.edit && isOutline(outline)) write(outline); },
  };
  addEventListener("message", ({ source, origin, data }) => {
    if (source !== inside.contentWindow || origin !== "null" || typeof data !== "object" || !data) return;
    if (Object.hasOwn(asked, data.ask) && isWhole(data.n, 2 ** 31)) asked[data.ask](data);
    else if (Object.hasOwn(said, data.say)) said[data.say](data);
  });
  stage.classList.add("live");
  inside.src = inside.dataset.src; // only now: its first message finds us listening

  // ---- what stands there ----

  const look = async (lon, lat, z, first = "") => {
    const found = (await json(`${told.at}/at?lon=${lon}&lat=${lat}&z=${z}`))?.plots ?? [];
    found.sort((a, b) => (b.plot_id === first) - (a.plot_id === first));
    const more = told.about && found.length ? await json(told.about + found.slice(0, 20).map((one) => `&id=${encodeURIComponent(one.plot_id)}`).join("")) : null;
    const all = found.map((one) => ({ ...one, ...(more?.plots[one.plot_id] ?? {}) }));
    tell(all);
    return all;
  };
  const bdi = (text) => make("bdi", { textContent: text });
  const number = (value, digits = 0) => value.toLocaleString(told.language, { maximumFractionDigits: digits });
  const isNumber = (value) => typeof value === "number";
  const counted = (kg) => number(kg / told.unit.kg, kg / told.unit.kg < 100 ? 1 : 0);
  const about = (one) => {
    const line = (...parts) => (parts.some(Boolean) ? make("p", {}, ...parts.filter(Boolean).flatMap((part, k) => (k ? [" · ", part] : [part]))) : null);
    const who = line(one.member_id && bdi(one.member_name || one.member_id), one.community && bdi(one.community));
    const ground = line(isNumber(one.area_ha) && `${number(one.area_ha, 2)} ha`, one.class && bdi(land(one.class)));
    const potential = isNumber(one.potential_kg) ? make("p", {}, `${words.potential} `, make("strong", { textContent: `${counted(one.potential_kg)} ${told.unit.name}` }),
      isNumber(one.p10) && isNumber(one.p90) ? ` (P10–P90 ${counted(one.p10)} – ${counted(one.p90)})` : "") : null;
    const grade = one.problems ? null : line(words[`legend_${one.findings}`]);
    const problems = (one.problems ?? []).map(({ title, severity, price }) => make("li", {},
      make("strong", { textContent: `${severity}: ` }), title, price ? ` (${price})` : ""));
    const link = told.plot_at && make("a", { href: told.plot_at + encodeURIComponent(one.plot_id), textContent: words.open });
    return make("article", {}, make("h2", {}, `${words.plot} `, bdi(one.plot_id)), who, ground, potential, grade,
      problems.length ? make("ul", {}, ...problems) : null, link ? make("p", {}, link) : null);
  };
  const tell = (found) => {
    for (const row of document.querySelectorAll("tr.here")) row.classList.remove("here");
    for (const one of found) document.querySelector(`tr[data-plot="${CSS.escape(one.plot_id)}"]`)?.classList.add("here");
    if (!card || told.edit) return;
    card.hidden = found.length === 0;
    const close = make("button", { type: "button", className: "close", textContent: "×", ariaLabel: words.close });
    close.addEventListener("click", () => { card.hidden = true; inside.focus(); });
    card.replaceChildren(close, ...found.map(about));
  };
  const show = async ({ place: [lon, lat, zoom], plot }) => {
    send({ do: "show", lon, lat, zoom });
    const found = await look(lon, lat, zoom, plot), one = found.find(({ plot_id }) => plot_id === plot);
    const beside = card.offsetWidth < inside.offsetWidth / 2;
    const left = beside ? card.offsetWidth : 0, below = beside ? 0 : card.offsetHeight;
    send({ do: "show", lon, lat, zoom, left, below, shape: one?.outline ?? null, label: `${words.plot} ${plot}` });
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-place]");
    if (!link || !ready || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show({ place: JSON.parse(link.dataset.place), plot: link.dataset.plot });
    if (matchMedia("(max-width: 64rem)").matches) stage.scrollIntoView({ block: "nearest" });
  });

  // ---- an outline that is being drawn ----

  const field = told.edit && document.getElementById("corners");
  const isWithin = ([x, y], ring) => ring.reduce((inside, [a, b], k) => {
    const [c, d] = ring[(k + 1) % ring.length];
    return (b > y) !== (d > y) && x < a + ((y - b) / (d - b)) * (c - a) ? !inside : inside;
  }, false);
  for (const one of document.querySelectorAll("[data-closed-by-script]")) one.open = false;
  field?.addEventListener("change", () => {
    const rings = field.value.split(/\n\s*\n/).map((part) => part.split("\n").filter((line) => line.trim())
      .map((line) => line.trim().split(/[\s,;]+/).map(Number).reverse())).filter((ring) => ring.length);
    if (!isOutline([rings])) return;
    const outline = [];
    for (const ring of rings) {
      const around = outline.find(([whole]) => isWithin(ring[0], whole));
      if (around) around.push(ring);
      else outline.push([ring]);
    }
    send({ do: "edit", outline, fit: false });
  });
  const isOutline = (outline) => {
    if (!Array.isArray(outline) || outline.length > 1000) return false;
    const rings = outline.flatMap((polygon) => (Array.isArray(polygon) ? polygon : [null]));
    if (!rings.every(Array.isArray)) return false;
    const corners = rings.flat();
    return corners.length <= MOST_CORNERS && corners.every(isPlace);
  };
  const write = (outline) => {
    field.value = outline.flat().map((ring) => ring.map(([lon, lat]) => `${lat}, ${lon}`).join("\n")).join("\n\n");
  };
}
