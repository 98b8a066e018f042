"use strict";
(() => {
  const page = JSON.parse(document.getElementById("page").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const ground = () => (dark.matches ? "#171b21" : "#eef1f4");
  const data = (id) => JSON.parse(document.getElementById(id).textContent);
  const element = (tag, text, parent, name) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    if (parent) parent.append(made);
    return made;
  };

  let map;
  try {
    map = new maplibregl.Map({
      container: "map",
      style: { version: 8, sources: {}, layers: [{ id: "ground", type: "background", paint: { "background-color": ground() } }] },
      bounds: page.bounds,
      fitBoundsOptions: { padding: { top: 30, bottom: 40, right: 50, left: innerWidth > 900 ? 340 : 30 } },
      attributionControl: false,
      renderWorldCopies: false,
      maxPitch: 0,
      dragRotate: false,
    });
  } catch (error) {
    document.getElementById("trouble").style.display = "block";
    throw error;
  }
  map.touchZoomRotate.disableRotation();
  map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
  map.addControl(new maplibregl.ScaleControl({ maxWidth: 120 }), "bottom-left");
  map.addControl(new maplibregl.AttributionControl({ compact: false, customAttribution: page.attribution }), "bottom-right");
  dark.addEventListener("change", () => map.setPaintProperty("ground", "background-color", ground()));

  const FILLED = ["match", ["geometry-type"], ["Polygon", "MultiPolygon"], true, false];
  const POINTS = ["match", ["geometry-type"], ["Point", "MultiPoint"], true, false];
  const wider = (low, high) => ["interpolate", ["linear"], ["zoom"], 8, low, 16, high];

  /* Each kind of layer: the map layers it is drawn by, the last of which lies on top. */
  const drawn = {
    raster: (id) => [{ id, type: "raster", source: id, paint: { "raster-fade-duration": 0 } }],
    layer: (id, colour) => [
      { id: id + "-fill", type: "fill", source: id, filter: FILLED, paint: { "fill-color": colour, "fill-opacity": 0.12 } },
      { id: id + "-line", type: "line", source: id, filter: ["!", POINTS], paint: { "line-color": colour, "line-width": wider(0.7, 2) } },
      { id: id + "-point", type: "circle", source: id, filter: POINTS, paint: { "circle-color": colour, "circle-radius": wider(2.5, 6), "circle-stroke-color": "#fff", "circle-stroke-width": 0.7 } },
    ],
    outline: (id, colour) => [
      { id: id + "-fill", type: "fill", source: id, filter: FILLED, paint: { "fill-color": colour, "fill-opacity": 0 } },
      { id: id + "-line", type: "line", source: id, paint: { "line-color": colour, "line-width": 1.2, "line-dasharray": [3, 2] } },
    ],
    defects: (id, colour) => [
      { id: id + "-fill", type: "fill", source: id, filter: FILLED, paint: { "fill-color": colour, "fill-opacity": 0.55 } },
      { id: id + "-line", type: "line", source: id, filter: ["!", POINTS], paint: { "line-color": colour, "line-width": 2 } },
      { id: id + "-mark", type: "circle", source: id + "-marks", paint: { "circle-color": colour, "circle-opacity": 0.25, "circle-radius": wider(6, 14), "circle-stroke-color": colour, "circle-stroke-width": 2 } },
    ],
  };

  const layers = [...page.layers].reverse();
  map.on("load", () => {
    for (const layer of page.layers) {
      if (layer.kind === "raster") {
        map.addSource(layer.id, { type: "image", url: document.getElementById(layer.id).textContent, coordinates: layer.corners });
      } else {
        const found = data(layer.id);
        map.addSource(layer.id, { type: "geojson", data: found.shapes, tolerance: 0.2 });
        if (found.marks) map.addSource(layer.id + "-marks", { type: "geojson", data: found.marks });
      }
      for (const part of drawn[layer.kind](layer.id, layer.colour)) {
        map.addLayer(part);
        map.setLayoutProperty(part.id, "visibility", layer.shown ? "visible" : "none");
      }
    }
    map.once("idle", () => { document.body.dataset.ready = "yes"; });
  });
  map.on("error", (event) => { document.body.dataset.error = String(event.error && event.error.message); });

  const panel = document.getElementById("panel");
  for (const layer of layers) {
    const label = element("label", undefined, panel);
    const box = element("input", undefined, label);
    box.type = "checkbox";
    box.checked = layer.shown;
    box.addEventListener("change", () => {
      for (const part of drawn[layer.kind](layer.id, layer.colour)) {
        map.setLayoutProperty(part.id, "visibility", box.checked ? "visible" : "none");
      }
    });
    const swatch = element("span", undefined, label, layer.kind === "defects" ? "swatch mark" : "swatch");
    swatch.style.borderColor = layer.colour;
    if (layer.kind !== "outline") swatch.style.background = layer.colour + (layer.kind === "raster" ? "" : "55");
    element("span", layer.title, label);
    element("small", layer.note, label);
    if (layer.counts) {
      const list = element("ul", undefined, panel);
      for (const [kind, number] of Object.entries(layer.counts)) element("li", `${number} ${kind.replaceAll("_", " ")}`, list);
    }
  }

  /* What lies at the click, of the topmost layers first; text only, never markup. */
  const at = (point) => {
    const reach = 4; /* pixels, for lines and points; an area is hit inside */
    const box = [[point.x - reach, point.y - reach], [point.x + reach, point.y + reach]];
    const parts = page.layers.filter((layer) => layer.kind !== "raster").flatMap((layer) => drawn[layer.kind](layer.id, layer.colour)).filter((part) => map.getLayer(part.id));
    const thin = (part) => part.type === "circle" || (part.type === "line" && !parts.some((other) => other.type === "fill" && other.source === part.source));
    const hit = (where, chosen) => map.queryRenderedFeatures(where, { layers: chosen.map((part) => part.id) });
    const features = [...hit(box, parts.filter(thin)), ...hit(point, parts.filter((part) => !thin(part)))];
    const seen = new Set();
    const found = [];
    const rank = (feature) => -page.layers.findIndex((one) => feature.source === one.id || feature.source === one.id + "-marks");
    for (const feature of features.sort((one, other) => rank(one) - rank(other))) {
      const layer = page.layers[-rank(feature)];
      const key = layer.id + " " + feature.properties._row;
      if (!seen.has(key)) found.push([layer, feature.properties]);
      seen.add(key);
    }
    return found;
  };
  map.on("click", (event) => {
    const found = at(event.point);
    if (!found.length) return;
    const content = element("div", undefined, undefined, "popup");
    for (const [layer, properties] of found.slice(0, 4)) {
      element("h2", layer.title, content);
      const table = element("table", undefined, content);
      for (const [name, value] of Object.entries(properties)) {
        if (name === "_row") continue;
        const row = element("tr", undefined, table);
        element("th", name, row);
        element("td", typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(8))) : String(value), row);
      }
    }
    new maplibregl.Popup({ maxWidth: "380px" }).setLngLat(event.lngLat).setDOMContent(content).addTo(map);
  });
  map.on("mousemove", (event) => { map.getCanvas().style.cursor = at(event.point).length ? "pointer" : ""; });
  window.geoAssetsMap = map;
})();
