"use strict";
// Scale, the place under the pointer, full screen, and a measure of lengths and areas.
(() => {
  const { map, texts, on, tell, element, button, control, number, say } = frame;
  const RAD = Math.PI / 180, A = 6378137, E2 = 0.00669437999014; // source: WGS 84, NGA.STND.0036 (2014), table 3.1

  // Square metres of a ring of [longitude, latitude] on the plane that touches the ellipsoid in its middle: good to 0.01 % up to 10 km
  frame.areaOf = (ring) => {
    if (ring.length < 3) return 0;
    const middle = ring.reduce((sum, [, lat]) => sum + lat, 0) / ring.length;
    const w = Math.sqrt(1 - E2 * Math.sin(middle * RAD) ** 2);
    const x = (A / w) * Math.cos(middle * RAD) * RAD, y = (A * (1 - E2)) / w ** 3 * RAD;
    const [lon0, lat0] = ring[0];
    return Math.abs(ring.reduce((sum, [lon, lat], k) => {
      const [next, above] = ring[(k + 1) % ring.length];
      return sum + (lon - lon0) * (above - lat0) - (next - lon0) * (lat - lat0);
    }, 0)) * x * y / 2;
  };
  frame.metres = (latitude) => {
    const w = Math.sqrt(1 - E2 * Math.sin(latitude * RAD) ** 2);
    return { lon: (A / w) * Math.cos(latitude * RAD) * RAD, lat: (A * (1 - E2)) / w ** 3 * RAD };
  };
  const length = (m) => (m < 1000 ? `${number(m, m < 100 ? 1 : 0)} m` : `${number(m / 1000, 2)} km`);
  frame.hectares = (m2) => `${number(m2 / 10000, m2 < 100000 ? 3 : 1)} ha`;

  on("start", () => {
    if (frame.ready) return;
    frame.ready = true;
    L.control.scale({ imperial: false, maxWidth: 120 }).addTo(map);
    const place = element("div", { className: "place" });
    control(place, "bottomleft");
    const where = (at) => { place.textContent = `${at.lat.toFixed(5)}, ${at.lng.toFixed(5)}`; };
    map.on("mousemove", ({ latlng }) => where(latlng));
    map.on("moveend", () => where(map.getCenter()));
    where(map.getCenter());

    const bar = element("div", { className: "leaflet-bar" });
    const full = button(texts.full, "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5", () => tell({ say: "full" }));
    const ruler = button(texts.measure, "M3 17 17 3l4 4L7 21zM7 13l2 2M11 9l2 2M15 5l2 2", () => (measuring ? end() : begin()));
    bar.append(full, ruler);
    control(bar, "topleft");
    map.on("resize", () => map.invalidateSize());

    // ---- measure ----
    const drawn = L.layerGroup().addTo(map), says = element("div", { className: "box says", hidden: true });
    document.querySelector(".leaflet-control-container").append(
      element("div", { className: "leaflet-top middle" }, Object.assign(says, { className: "box says leaflet-control" })));
    L.DomEvent.disableClickPropagation(says);
    let measuring = false, places = [];
    const show = () => {
      drawn.clearLayers();
      const line = { color: "#1550a8", weight: 3, dashArray: "6 5", interactive: false };
      drawn.addLayer(places.length > 2 ? L.polygon(places, { ...line, fillOpacity: 0.1 }) : L.polyline(places, line));
      for (const one of places) drawn.addLayer(L.circleMarker(one, { radius: 5, color: "#1550a8", fillColor: "#fff", fillOpacity: 1, weight: 2, interactive: false }));
      const along = places.slice(1).reduce((sum, one, k) => sum + map.distance(places[k], one), 0);
      const area = frame.areaOf(places.map(({ lng, lat }) => [lng, lat]));
      const text = places.length < 2 ? texts.measure_says : length(along) + (area ? ` · ${frame.hectares(area)}` : "");
      says.replaceChildren(element("strong", { textContent: text }));
      if (places.length > 1) say(text);
    };
    const add = (at) => { places.push(at); show(); };
    const onClick = ({ latlng }) => add(latlng);
    const onKey = (event) => {
      if (event.key === "Escape") end();
      else if (event.key === "Enter" && event.target === map.getContainer()) add(map.getCenter());
    };
    const begin = () => {
      measuring = true;
      places = [];
      frame.busy.add("measure");
      map.doubleClickZoom.disable();
      ruler.setAttribute("aria-pressed", "true");
      says.hidden = false;
      show();
      say(texts.measure_says);
      map.on("click", onClick);
      addEventListener("keydown", onKey);
    };
    const end = () => {
      measuring = false;
      drawn.clearLayers();
      says.hidden = true;
      frame.busy.delete("measure");
      if (!document.querySelector(".aiming")) map.doubleClickZoom.enable();
      ruler.setAttribute("aria-pressed", "false");
      map.off("click", onClick);
      removeEventListener("keydown", onKey);
    };
  });
})();
