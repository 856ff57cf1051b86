// Figures to explore: each takes the place of the static figure that its numbers belong to, or
// stands above it.
// Without scripts, and on paper, the static figure is what is seen. See ssps_book.explorable.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const GLYPHS = [ // a mark for each recording, about 9 across
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-4-4h8v8h-8z", "M0-5L5 0L0 5L-5 0z",
    "M0-5L5 4H-5z", "M0 5L5-4H-5z", "M-2-5h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
    "M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0z", "M-5 0L4-5V5z", "M5 0L-4-5V5z",
    "M0-5L1.5-1.5L5-1.5L2.2.8L3.2 4.5L0 2.3L-3.2 4.5L-2.2.8L-5-1.5L-1.5-1.5z",
  ];

  function make(tag, attributes = {}, ...children) {
    const drawn = ["svg", "path", "g", "text", "line", "polyline", "circle", "rect"].includes(tag);
    const node = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  function slider(name, stops, start, changed) {
    const input = make("input", { type: "range", min: 0, max: stops.length - 1, step: 1, value: start });
    const tell = () => input.setAttribute("aria-valuetext", stops[input.value]);
    input.addEventListener("input", () => { tell(); changed(); });
    tell();
    const set = (value) => { input.value = value; tell(); changed(); };
    return { label: make("label", {}, name, input), get: () => Number(input.value), set };
  }

  // A button that moves a slider from stop to stop, until its end or the next press.
  function player(place, last, pause) {
    const button = make("button", { type: "button" }, "Play");
    let timer = null;
    function stop() {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    }
    function step() {
      if (place.get() >= last) stop();
      else place.set(place.get() + 1);
    }
    button.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (place.get() >= last) place.set(0);
      button.textContent = "Pause";
      timer = setInterval(step, pause);
    });
    return { label: button };
  }

  function choice(name, options, changed) {
    const select = make("select", {}, ...options.map((text, i) => make("option", { value: i }, text)));
    select.addEventListener("input", changed);
    return { label: make("label", {}, name, select), get: () => Number(select.value) };
  }

  function assemble(box, picture, controls, told) {
    const bar = make("div", { class: "controls" }, ...controls.map((control) => control.label));
    box.append(bar, told, picture);
  }

  // Points of utterances that move from one map to the next, and lines to their pseudo-positives.
  function maps(box, data) {
    const told = make("output", { "aria-live": "polite" });
    const points = data.speakers.map((speaker, i) => make("path", {
      class: "point", d: GLYPHS[data.recordings[i] % GLYPHS.length],
      fill: data.colors[speaker % data.colors.length], stroke: "#fbfaf7", "stroke-width": 0.6,
    }));
    const lines = data.pairs.length ? data.speakers.map(() => make("line", { "stroke-width": 0.9 })) : [];
    const picture = make("svg", { viewBox: "0 0 440 400", role: "img", "aria-label": data.label },
      ...lines, ...points);
    const names = data.frames.map((frame) => frame.title);
    const place = slider("Training", names, data.start, draw);
    const every = data.names.map((name) => "speaker " + name);
    const who = choice("Show", ["all speakers", ...every], draw);
    function draw() {
      const frame = data.frames[place.get()], only = who.get() - 1;
      const at = frame.points.map(([x, y]) => [20 + 400 * x, 20 + 360 * (1 - y)]);
      at.forEach(([x, y], i) => {
        points[i].style.transform = `translate(${x}px, ${y}px)`;
        points[i].style.opacity = only < 0 || data.speakers[i] === only ? 0.9 : 0.12;
      });
      lines.forEach((line, i) => {
        const j = data.pairs[place.get()][i], [x, y] = at[i];
        const [u, v] = j >= 0 ? at[j] : j === -1 ? [x + 8, y - 8] : [x, y];
        const right = j >= 0 && data.speakers[i] === data.speakers[j];
        for (const [name, value] of Object.entries({ x1: x, y1: y, x2: u, y2: v })) line.setAttribute(name, value);
        line.setAttribute("stroke", right ? "#5b8c5a" : "#b3443c");
        line.style.opacity = only < 0 || data.speakers[i] === only ? 0.55 : 0;
      });
      told.textContent = frame.title + ", " + frame.note;
    }
    const play = data.pairs.length ? [player(place, names.length - 1, 1200)] : [];
    assemble(box, picture, [place, ...play, who], told);
    draw();
  }

  // Curves over K, one pair for each M; a K is marked and read out.
  function grid(box, data) {
    const left = 44, right = 405, top = 10, bottom = 240;
    const logs = data.k.map(Math.log), low = Math.min(...logs), high = Math.max(...logs);
    const x = (i) => left + (right - left) * (logs[i] - low) / (high - low || 1);
    const y = (share) => bottom - (bottom - top) * share;
    const told = make("output", { "aria-live": "polite" });
    const picture = make("svg", { viewBox: "0 0 430 290", role: "img", "aria-label": data.label });
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      picture.append(make("line", { x1: left, x2: right, y1: y(share), y2: y(share), stroke: "#dedbd3" }),
        make("text", { x: left - 8, y: y(share) + 4, "text-anchor": "end" }, share));
    }
    let free = left - 24;  // where the next number finds room
    data.k.forEach((k, i) => {
      if (x(i) - 22 < free) return;
      free = x(i) + 22;
      picture.append(make("text", { x: x(i), y: bottom + 20, "text-anchor": "middle" }, k.toLocaleString("en")));
    });
    picture.append(make("text", { x: (left + right) / 2, y: bottom + 42, "text-anchor": "middle" },
      "number of clusters K"));
    const marker = make("line", { y1: top, y2: bottom, stroke: "#2b2b2b", "stroke-dasharray": "4 3" });
    const curves = make("g");
    picture.append(marker, curves);
    const which = slider("K", data.k.map((k) => "K = " + k), data.start[0], draw);
    const window_ = slider("M", data.m.map((m) => "M = " + m), data.start[1], draw);
    function draw() {
      const i = which.get(), j = window_.get();
      marker.setAttribute("x1", x(i));
      marker.setAttribute("x2", x(i));
      curves.replaceChildren();
      const words = [];
      for (const { name, color, dash, values } of data.series) {
        const seen = values[j].map((value, n) => [value, n]).filter(([value]) => value !== null);
        curves.append(make("polyline", { points: seen.map(([value, n]) => `${x(n)},${y(value)}`).join(" "),
          fill: "none", stroke: color, "stroke-width": 2.5, "stroke-dasharray": dash }));
        const value = values[j][i];
        if (value !== null) curves.append(make("circle", { cx: x(i), cy: y(value), r: 6, fill: color }));
        words.push(`${name} ${value === null ? "none" : value.toFixed(2)}`);
      }
      told.textContent = `K = ${data.k[i].toLocaleString("en")}, M = ${data.m[j]}: ${words.join(", ")}`;
    }
    const keys = make("div", { class: "keys" }, ...data.series.map(({ name, color, dash }) => {
      const line = make("line", { x1: 0, x2: 28, y1: 5, y2: 5, stroke: color, "stroke-width": 2.5,
        "stroke-dasharray": dash });
      return make("span", {}, make("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" }, line), name);
    }));
    assemble(box, picture, [which, window_], told);
    picture.before(keys);
    draw();
  }

  addEventListener("DOMContentLoaded", () => {
    for (const box of document.querySelectorAll(".explorable")) {
      const data = JSON.parse(box.querySelector("script").textContent);
      const figure = document.getElementById(data.figure), picture = figure?.querySelector("img");
      if (!picture) continue;
      data.label = picture.alt;
      ({ maps, grid })[data.kind](box, data);
      figure.prepend(box);
      if (!data.keep) figure.classList.add("explored");
      box.hidden = false;
    }
  });
})();
