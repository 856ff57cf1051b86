// Opens the pages of STEPS one after the other in a frame, lets each step look, and reports.
const frame = document.body.appendChild(document.createElement("iframe"));
frame.style.cssText = "border: 0; height: 1800px";
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// What a step may use: the window and document of its page, and a few moves.
const view = {
  get window() { return frame.contentWindow; },
  get document() { return frame.contentDocument; },
  async until(test, seconds = 30) {
    for (let n = 0; n < seconds * 20; n++) {
      const found = test();
      if (found) return found;
      await pause(50);
    }
    throw new Error("waited in vain for " + test);
  },
  async atRest() {  // drawn as it stays: laid out, with its fonts, and every transition at its end
    const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const ends = (one) => one.effect.getComputedTiming().endTime !== Infinity;
    await view.document.fonts.ready;
    for (let moving = [0]; moving.length;) {
      await drawn();
      moving = view.document.getAnimations().filter(ends);
      for (const one of moving) one.finish();
    }
  },
  async width(pixels) {
    frame.style.width = pixels + "px";
    await view.atRest();
  },
  async theme(name) {
    Object.assign(view.document.documentElement.dataset, { theme: name, mode: name });
    await view.atRest();
  },
  unfold() {  // the cells that are folded, as a reader may unfold them
    for (const part of view.document.querySelectorAll("details")) part.open = true;
  },
  faults() {
    return JSON.parse(view.document.documentElement.dataset.faults || "[]");
  },
  lighten() {  // most of a page's elements are much alike: code, formulas, signatures, long tables
    const alike = "mjx-container, .highlight pre, .sig > :not(.headerlink), tr:nth-child(n + 13)";
    for (const part of view.document.querySelectorAll(alike)) part.remove();
  },
  async axe(options = {}) {
    if (!view.window.axe) {
      const script = view.document.createElement("script");
      script.src = "/axe.js";
      const loaded = new Promise((done) => { script.onload = done; });
      view.document.head.append(script);
      await loaded;
    }
    const wanted = { resultTypes: ["violations"], preload: false, ...options };
    const found = await view.window.axe.run(view.document, wanted);
    return found.violations
      .filter((fault) => ["serious", "critical"].includes(fault.impact))
      .map((fault) => fault.id + ": " + fault.nodes.map((node) => node.html).join(" | "));
  },
};

async function visit(step) {
  frame.style.width = "1280px";
  const loaded = new Promise((done) => { frame.onload = done; });
  frame.src = "/" + step.page;
  await loaded;
  if (view.window.MathJax?.startup) await view.window.MathJax.startup.promise;
  const look = new Function("view", `return (async () => { ${step.do} })()`);
  return look(view);
}

(async () => {
  for (const step of STEPS) {
    let report;
    try {
      report = { result: (await visit(step)) ?? null };
    } catch (error) {
      report = { failed: String(error.stack || error) };
    }
    await fetch("/report", { method: "POST", body: JSON.stringify(report) });
  }
})();
