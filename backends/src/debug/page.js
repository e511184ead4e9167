"use strict";
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const SVG = (() => {  // not written out, so that no address of a network stands in the page
    const e = document.createElement("div");
    e.innerHTML = "<svg></svg>";
    return e.firstChild.namespaceURI;
  })();

  // ---- elements and numbers
  function el(tag, attrs, ...inside) {
    const e = ["svg", "g", "rect", "text", "path", "line"].includes(tag)
      ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [k, v] of Object.entries(attrs || {})) {
      if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
      else if (v !== null && v !== undefined && v !== false) e.setAttribute(k, v);
    }
    for (const x of inside.flat(3)) if (x !== null && x !== undefined && x !== false) e.append(x);
    return e;
  }
  function scaled(n, units) {
    let at = 0;
    while (n >= 999.5 && at + 1 < units.length) { n /= 1000; at++; }
    return `${n.toFixed(at === 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2)} ${units[at]}`.trim();
  }
  const bytes = (n) => scaled(n, ["B", "kB", "MB", "GB", "TB"]);
  const count = (n) => scaled(n, ["", "k", "M", "G", "T"]);
  const time = (s) => s >= 1 ? `${s.toFixed(2)} s` : scaled(s * 1e9, ["ns", "\u00b5s", "ms"]);
  const percent = (x) => x > 0 && x < 0.0005 ? "<0.1 %" : x > 0 && x < 0.0095 || x < 1 && x > 0.995 ? `${(100 * x).toFixed(1)} %` : `${(100 * x).toFixed(0)} %`;
  const sum = (list) => list.reduce((a, b) => a + b, 0);

  // ---- what is derived once
  const LIMITS = { memory: "memory", scattered: "scattered rows", arithmetic: "arithmetic", launch: "launch" };
  const seconds = (r) => sum(D.regions[r].launches.map((l) => D.estimates[l].seconds));
  const REGION = D.regions.map((r, i) => {
    const es = r.launches.map((l) => D.estimates[l]).sort((a, b) => b.seconds - a.seconds);
    return { seconds: seconds(i), limit: es.length ? es[0].limit : "launch", traffic: sum(es.map((e) => e.traffic)),
      operations: sum(r.launches.map((l) => D.launches[l].operations)) };
  });
  const WHOLE = sum(D.estimates.map((e) => e.seconds)) || 1e-30;
  const WORST = Math.max(1e-30, ...REGION.map((r) => r.seconds));
  const maker = new Map();
  D.regions.forEach((r, i) => r.stores.forEach((v) => maker.set(v.node, i)));

  // ---- where we are: everything is in the hash, so that a place can be sent to somebody
  const start = { tab: "graph", graph: "regions", region: null, kernel: null, node: null, stage: null, code: "nest", find: "" };
  let at = read();
  function read() {
    const h = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    const whole = (x, n) => x !== undefined && /^\d+$/.test(x) && +x < n ? +x : null;
    return { ...start, ...h, region: whole(h.region, D.regions.length), kernel: whole(h.kernel, D.kernels.length),
      node: whole(h.node, 1e9), stage: whole(h.stage, D.stages.length) };
  }
  function go(change) {
    const next = { ...at, ...change };
    const h = new URLSearchParams();
    for (const [k, v] of Object.entries(next)) if (v !== null && v !== start[k]) h.set(k, v);
    history.replaceState(null, "", "#" + h);
    at = next;
    show();
  }
  addEventListener("hashchange", () => { at = read(); show(); });
  const toRegion = (i, more) => go({ region: i, kernel: null, node: null, stage: null, ...more });
  const toKernel = (i, more) => go({ kernel: i, region: null, node: null, stage: null, ...more });
  const link = (text, f) => el("a", { title: text, onclick: (e) => { e.stopPropagation(); f(); } }, text);
  const regionLink = (i) => link(`${i} ${D.regions[i].name}`, () => toRegion(i));
  const dot = (limit) => el("span", { class: "dot", style: `--c: var(--${limit})`, title: `bound by ${LIMITS[limit]}` });

  // ---- tables
  const sorting = {};
  function table(name, columns, rows, first, go_to) {
    const s = sorting[name] || (sorting[name] = { by: first, up: false });
    const key = columns[s.by].key;
    const sorted = rows.map((r, i) => [r, i]).sort(([a, i], [b, j]) => {
      const [x, y] = [key(a), key(b)];
      const c = typeof x === "number" ? y - x : String(x).localeCompare(String(y));
      return (s.up ? -c : c) || i - j;
    });
    const head = columns.map((c, i) => el("th", {
      class: `${c.right ? "r" : ""} ${i === s.by ? "sorted" : ""} ${s.up ? "up" : ""}`, tabindex: 0, title: c.about,
      onclick: () => { s.up = i === s.by ? !s.up : false; s.by = i; show(); },
    }, c.name));
    const body = sorted.map(([r]) => el("tr", { class: go_to ? "go" : "", onclick: go_to && (() => go_to(r)) },
      columns.map((c) => el("td", { class: c.right ? "r" : c.kind || "" }, c.show(r)))));
    return el("div", { class: "wide" }, el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
  }

  // ---- the graph
  const looks = {};   // where each drawing was left: x, y, scale
  function graph() {
    const { drawing, boxes } = D.drawings[at.graph];
    const regions = at.graph === "regions";
    const g = el("g", {});
    const edges = drawing.edges.map(([a, b, d]) => {
      const e = el("path", { class: "edge", d });
      g.append(e);
      return [a, b, e];
    });
    const words = at.find.toLowerCase();
    const drawn = boxes.map((b, i) => {
      const [x, y] = drawing.at[i];
      const region = regions ? i : b.region;
      const limit = region === null || region === undefined ? null : REGION[region].limit;
      const open = () => regions ? toRegion(i) : go({ node: b.node, region: region ?? null, kernel: null, stage: null });
      const e = el("g", { class: "box", transform: `translate(${x} ${y})`, tabindex: 0, role: "button", "data-box": i,
        onclick: () => { if (!moved) open(); }, onkeydown: (k) => { if (k.key === "Enter") open(); } },
        el("rect", { class: "back", width: b.w, height: b.h, rx: 6 }),
        limit && el("rect", { x: 0, y: 6, width: 4, height: b.h - 12, rx: 2, fill: `var(--${limit})` }),
        regions && el("rect", { class: "heat", x: 10, y: b.h - 5, height: 2.5, rx: 1, width: Math.max(0, (b.w - 20) * b.seconds / WORST) }),
        b.lines.map((t, n) => el("text", { x: 11, y: 17 + 15 * n }, t)));
      if (words && !matches(regions ? regionWords(i) : b.lines.join(" "), words)) e.classList.add("dim");
      g.append(e);
      return e;
    });
    const chosen = regions ? at.region : boxes.findIndex((b) => b.node === at.node && at.node !== null);
    if (chosen !== null && chosen >= 0 && drawn[chosen]) {
      drawn[chosen].classList.add("on");
      for (const [a, b, e] of edges) if (a === chosen || b === chosen) {
        e.classList.add("on");
        drawn[a === chosen ? b : a].classList.add("near");
      }
    } else if (!regions && at.region !== null) {
      boxes.forEach((b, i) => { if (b.region === at.region) drawn[i].classList.add("near"); });
    }
    const svg = el("svg", { role: "group", "aria-label": "graph" }, g);
    const canvas = el("div", { class: "canvas" }, svg);
    const look = looks[at.graph] || (looks[at.graph] = { x: 0, y: 0, s: 0 });
    const apply = () => g.setAttribute("transform", `translate(${look.x} ${look.y}) scale(${look.s})`);
    const fit = (least) => {
      const w = canvas.clientWidth || 800, h = canvas.clientHeight || 600;
      look.s = Math.max(least, Math.min(1, w / drawing.width, h / (drawing.height + 50)));
      look.x = (w - drawing.width * look.s) / 2;
      look.y = Math.max(44, (h - drawing.height * look.s) / 2);
      if (drawing.width * look.s > w && boxes.length) {  // begin where the first box is
        look.x = w / 2 - (drawing.at[0][0] + boxes[0].w / 2) * look.s;
      }
      apply();
    };
    const zoom = (by, cx, cy) => {
      const s = Math.min(4, Math.max(0.03, look.s * by));
      look.x = cx - (cx - look.x) * s / look.s;
      look.y = cy - (cy - look.y) * s / look.s;
      look.s = s;
      apply();
    };
    const middle = (by) => zoom(by, canvas.clientWidth / 2, canvas.clientHeight / 2);
    let moved = false;
    const held = new Map();
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      const r = canvas.getBoundingClientRect();
      zoom(Math.exp(-e.deltaY * (e.ctrlKey ? 0.01 : 0.0015)), e.clientX - r.left, e.clientY - r.top);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (e) => { held.set(e.pointerId, [e.clientX, e.clientY]); moved = false; });
    canvas.addEventListener("pointermove", (e) => {
      const was = held.get(e.pointerId);
      if (!was) return;
      const now = [e.clientX, e.clientY];
      if (!moved && Math.hypot(now[0] - was[0], now[1] - was[1]) < 4) return;
      if (!moved) { moved = true; canvas.setPointerCapture(e.pointerId); canvas.classList.add("drag"); }
      if (held.size === 2) {
        const other = [...held].find(([id]) => id !== e.pointerId)[1];
        const r = canvas.getBoundingClientRect();
        const d = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
        zoom(d(now) / d(was), (now[0] + other[0]) / 2 - r.left, (now[1] + other[1]) / 2 - r.top);
      } else { look.x += now[0] - was[0]; look.y += now[1] - was[1]; apply(); }
      held.set(e.pointerId, now);
    });
    const up = (e) => { held.delete(e.pointerId); canvas.classList.remove("drag"); setTimeout(() => { if (!held.size) moved = false; }, 0); };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("dblclick", (e) => { if (!e.target.closest(".box")) fit(0.03); });
    requestAnimationFrame(() => {
      if (!look.s) fit(0.6); else apply();
      if (at.reveal !== undefined || chosen === null || chosen < 0) return;
      const b = drawing.at[chosen], w = canvas.clientWidth, h = canvas.clientHeight;
      const [x, y] = [b[0] * look.s + look.x, b[1] * look.s + look.y];
      if (x < 0 || y < 40 || x > w - 80 || y > h - 60) {  // bring it into sight
        look.x += w / 2 - x - boxes[chosen].w * look.s / 2;
        look.y += h / 3 - y;
        apply();
      }
    });
    const kinds = [["regions", "Regions"], ["after", "Ops after passes"], ["before", "Ops as written"]];
    const tool = (text, on, f, title) => el("button", { class: `plain ${on ? "on" : ""}`, onclick: f, title }, text);
    return [canvas, el("div", { class: "tools" },
      kinds.map(([k, t]) => tool(t, at.graph === k, () => go({ graph: k }))),
      tool("Fit", false, () => fit(0.03), "all of it (double click)"), tool("+", false, () => middle(1.3), "larger"),
      tool("\u2212", false, () => middle(1 / 1.3), "smaller")),
      el("div", { class: "legend" }, Object.entries(LIMITS).map(([k, t]) => el("span", {}, el("i", { style: `--c: var(--${k})` }), t)),
        el("span", {}, el("i", { style: "--c: var(--hot)" }), "share of the least time"))];
  }

  // ---- lists
  function kernels() {
    const rows = D.launches.map((l, i) => ({ i, l, e: D.estimates[i], k: D.kernels[l.kernel] }));
    return [el("h2", {}, `${D.kernels.length} kernels in ${D.launches.length} launches`),
      el("p", { class: "muted" }, "Times are the least that memory and arithmetic allow at the greatest sizes; nothing here was measured in a run. Limits: ", D.limits.origin, "."),
      table("kernels", [
        { name: "launch", key: (r) => -r.i, show: (r) => r.i, right: true },
        { name: "kernel", kind: "name", key: (r) => r.k.name, show: (r) => [dot(r.e.limit), el("span", { class: "inline", title: r.k.name }, r.k.name)] },
        { name: "least time", key: (r) => r.e.seconds, show: (r) => time(r.e.seconds), right: true },
        { name: "share", key: (r) => r.e.seconds, show: (r) => percent(r.e.seconds / WHOLE), right: true },
        { name: "limit", key: (r) => LIMITS[r.e.limit], show: (r) => LIMITS[r.e.limit] },
        { name: "memory", key: (r) => r.e.traffic, show: (r) => bytes(r.e.traffic), right: true, about: "bytes from and to memory" },
        { name: "operations", key: (r) => r.l.operations, show: (r) => count(r.l.operations), right: true },
        { name: "a byte", key: (r) => r.e.intensity, show: (r) => r.e.intensity.toFixed(2), right: true, about: "operations a byte" },
        { name: "in vectors", key: (r) => r.k.vectors.share, show: (r) => r.k.vectors.lanes > 1 ? percent(r.k.vectors.share) : "none", right: true },
        { name: "iterations", key: (r) => r.k.iterations, show: (r) => count(r.k.iterations), right: true, about: "of the loop that threads share" },
      ], rows, 0, (r) => r.l.region === null ? toKernel(r.l.kernel) : toRegion(r.l.region))];
  }
  function refusals() {
    const list = (stored) => D.refusals.filter((r) => r.stored === stored);
    const columns = [
      { name: "bytes a run", key: (r) => r.bytes, show: (r) => bytes(r.bytes), right: true, about: "what one kernel in place of two would save" },
      { name: "why not", kind: "why", key: (r) => r.why, show: (r) => r.why },
      { name: "asked", kind: "name", key: (r) => r.node, show: (r) => [el("span", { class: "mono" }, `${D.nodes[r.node].value} ${D.nodes[r.node].op}`), regionLink(r.region)] },
      { name: "other region", kind: "name", key: (r) => r.other, show: (r) => regionLink(r.other) },
      { name: "values between", kind: "name", key: (r) => r.values.length, show: (r) => el("span", { class: "mono" }, r.values.map((v) => v.name).join(", ")) },
    ];
    return [el("h2", {}, "What was not fused"),
      el("p", { class: "muted" }, "Regions of which one reads what the other stores, and the bytes that go through memory because of it."),
      list(true).length ? table("refusals", columns, list(true), 0, (r) => toRegion(r.region)) : el("p", {}, "Nothing: no region reads what another stores, but where it must."),
      list(false).length ? [el("h3", {}, "Regions that read the same values, each for itself"), table("siblings", columns, list(false), 0, (r) => toRegion(r.region))] : null];
  }
  function again() {
    return [el("h2", {}, "Computed again instead of stored"),
      el("p", { class: "muted" }, "Values that every reader computes for itself, and the bytes that are not written and read because of it."),
      table("again", [
        { name: "bytes saved a run", key: (r) => r.bytes, show: (r) => bytes(r.bytes), right: true },
        { name: "value", key: (r) => D.nodes[r.node].op, show: (r) => [el("span", { class: "mono" }, `${D.nodes[r.node].value} ${D.nodes[r.node].op}`), el("br"), el("small", { class: "mono" }, D.nodes[r.node].ty)] },
        { name: "why", kind: "why", key: (r) => r.why, show: (r) => r.why },
        { name: "in regions", key: (r) => r.regions.length, show: (r) => r.regions.map((i, n) => [n ? ", " : "", link(String(i), () => toRegion(i))]) },
      ], D.recomputed, 0)];
  }
  function passes() {
    return [el("h2", {}, "Passes"), el("p", { class: "muted" }, "Each with the graph after it. Choose one to read its text."),
      el("div", { class: "wide" }, el("table", {}, el("thead", {}, el("tr", {}, ["stage", "what it is for", "nodes", "time"].map((t, i) => el("th", { class: i > 1 ? "r" : "" }, t)))),
        el("tbody", {}, D.stages.map((s, i) => el("tr", { class: `go ${at.stage === i ? "on" : ""}`, onclick: () => go({ stage: i, region: null, kernel: null, node: null }) },
          el("td", { class: "mono" }, s.name), el("td", {}, s.about), el("td", { class: "r" }, s.changed ? s.nodes : "as before"), el("td", { class: "r" }, time(s.seconds)))),
        el("tr", {}, el("td", { class: "mono" }, "lower"), el("td", {}, "fusion, loops, places in memory"), el("td", {}), el("td", { class: "r" }, time(D.lowering_seconds))),
        D.code_seconds !== null && el("tr", {}, el("td", { class: "mono" }, "code"), el("td", {}, `LLVM for ${D.kernels.length} kernels, on one thread`), el("td", {}), el("td", { class: "r" }, time(D.code_seconds)))))),
      D.updates.length ? [el("h3", {}, "Values that are kept"), table("updates", [
        { name: "name", key: (u) => u.name, show: (u) => el("span", { class: "mono" }, u.name) },
        { name: "new value", key: (u) => u.in_place ? "in place" : "copied", show: (u) => u.in_place ? "in place" : `copied: ${u.why}` },
        { name: "bytes copied", key: (u) => u.bytes, show: (u) => u.bytes ? bytes(u.bytes) : "", right: true },
      ], D.updates, 2)] : null];
  }

  // ---- memory
  function memory() {
    const M = D.memory, n = Math.max(1, M.alive.length);
    const placed = M.buffers.filter((b) => b.offset !== null);
    const W = 1000, H = 340, L = 64, T = 14;
    const x = (l) => L + (W - L - 10) * l / n, y = (b) => T + H * b / Math.max(1, M.arena);
    const svg = el("svg", { class: "chart", viewBox: `0 0 ${W} ${T + H + 112}`, role: "img", "aria-label": "arena over a run" });
    for (let i = 0; i <= 4; i++) {
      const v = M.arena * i / 4;
      svg.append(el("line", { x1: L, x2: W - 10, y1: y(v), y2: y(v) }), el("text", { x: L - 6, y: y(v) + 4, "text-anchor": "end" }, bytes(v)));
    }
    const dark = document.documentElement.dataset.theme === "dark";
    placed.forEach((b, i) => {
      const [w, h] = [x(b.to + 1) - x(b.from), Math.max(1, y(b.offset + b.bytes) - y(b.offset))];
      const region = b.node === null ? D.launches[b.from].region : maker.get(b.node);
      const r = el("rect", { class: `life ${region !== undefined && region !== null && region === at.region ? "on" : ""}`, x: x(b.from), y: y(b.offset), width: w, height: h,
        fill: `hsl(${(i * 137) % 360} ${dark ? 32 : 45}% ${dark ? 58 : 74}%)`, onclick: () => region !== undefined && region !== null && toRegion(region) },
        el("title", {}, ""));
      r.firstChild.remove();
      const title = document.createElementNS(SVG, "title");
      title.textContent = `${b.name}: ${b.ty}, ${bytes(b.bytes)} at ${bytes(b.offset)}, launches ${b.from} to ${b.to}`;
      r.append(title);
      svg.append(r);
      if (h > 13 && w > 7 * b.name.length + 8) svg.append(el("text", { class: "name", x: x(b.from) + 5, y: y(b.offset) + Math.min(h / 2 + 4, 16) }, b.name));
    });
    const top = T + H + 30, high = 60, most = Math.max(1, M.arena);
    let d = `M${x(0)} ${top + high}`;
    M.alive.forEach((a, l) => { const v = top + high * (1 - a / most); d += `L${x(l)} ${v}L${x(l + 1)} ${v}`; });
    svg.append(el("text", { x: L, y: top - 8 }, "bytes alive during each launch"), el("path", { d: `${d}L${x(n)} ${top + high}Z` }),
      el("text", { x: L - 6, y: top + high, "text-anchor": "end" }, "0"), el("text", { x: L - 6, y: top + 8, "text-anchor": "end" }, bytes(most)));
    const step = Math.max(1, Math.ceil(n / 14));
    for (let l = 0; l < n; l += step) svg.append(el("text", { x: x(l + 0.5), y: top + high + 16, "text-anchor": "middle" }, String(l)));
    if (at.region !== null && D.regions[at.region].launches.length) {
      const l = D.regions[at.region].launches[0];
      svg.append(el("line", { class: "now", x1: x(l + 0.5), x2: x(l + 0.5), y1: T, y2: top + high }));
    }
    return [el("h2", {}, "Memory over a run"),
      el("p", { class: "muted" }, `Temporaries share an arena of ${bytes(M.arena)}; at most ${bytes(M.most_alive)} are alive at a time. Across: launches in their order. Down: the arena.`),
      placed.length ? svg : el("p", {}, "There are no temporaries."),
      el("dl", {}, M.kinds.map(([k, b]) => [el("dt", {}, k), el("dd", {}, bytes(b))])),
      el("h3", {}, "Buffers"),
      table("buffers", [
        { name: "name", key: (b) => b.name, show: (b) => el("span", { class: "mono" }, b.name) },
        { name: "what", key: (b) => b.kind, show: (b) => b.kind },
        { name: "type", key: (b) => b.ty, show: (b) => el("span", { class: "mono" }, b.ty) },
        { name: "bytes", key: (b) => b.bytes, show: (b) => bytes(b.bytes), right: true },
        { name: "at", key: (b) => b.offset ?? -1, show: (b) => b.offset === null ? "" : bytes(b.offset), right: true },
        { name: "launches", key: (b) => -b.from, show: (b) => `${b.from}\u2013${b.to}`, right: true },
      ], M.buffers, 3)];
  }

  // ---- the panel beside
  const sources = (list) => list.length ? list.map((s) => el("div", { class: "source" }, el("span", {}, `${s.file}:${s.line}`), s.text || "")) : el("p", { class: "muted" }, "Made by the compiler alone.");
  const values = (list) => list.length ? table("values" + list[0].name, [
    { name: "value", key: (v) => v.name, show: (v) => el("span", { class: "mono" }, v.name) },
    { name: "type", key: (v) => v.ty, show: (v) => el("span", { class: "mono" }, v.ty) },
    { name: "bytes", key: (v) => v.bytes, show: (v) => bytes(v.bytes), right: true },
    { name: "from", key: (v) => maker.get(v.node) ?? -1, show: (v) => maker.has(v.node) ? link(String(maker.get(v.node)), () => toRegion(maker.get(v.node))) : D.nodes[v.node].op },
  ], list, 2) : el("p", { class: "muted" }, "Nothing.");
  function vectors(v) {
    return [v.lanes > 1 ? `${percent(v.share)} of the work, up to ${v.lanes} lanes` : "none",
      el("div", { class: "meter" }, el("i", { style: `width: ${100 * v.share}%` })),
      v.rest.map((s) => el("div", { class: "muted" }, `${percent(s.share)} not. ${s.why}`))];
  }
  const FORMS = [["nest", "Loops"], ["optimised", "LLVM IR"], ["ir", "LLVM IR as emitted"], ["assembly", "Assembly"]];
  function code(k) {
    const held = document.getElementById(`code-${k}`);
    const parts = JSON.parse(held.textContent);
    const text = at.code === "nest" ? parts.nest : parts.code ? parts.code[at.code] : "";
    const pre = el("pre", { "data-code": at.code });
    colour(pre, text || "not made");
    return [el("div", { class: "tabs" }, FORMS.filter(([f]) => f === "nest" || parts.code).map(([f, t]) =>
      el("button", { class: `plain ${at.code === f ? "on" : ""}`, onclick: () => go({ code: f }) }, t)),
      el("button", { class: "plain", onclick: (e) => { navigator.clipboard?.writeText(text).then(() => { e.target.textContent = "Copied"; }, () => { e.target.textContent = "Not allowed"; }); } }, "Copy")), pre];
  }
  function colour(pre, text) {
    if (text.length > 300000) { pre.textContent = text; return; }
    const parts = /((?:;|# |\t#|\/\/)[^\n]*)|\b(parallel|vector|unroll|for|let|if|else|kernel|dims|in|out|inout|stack|register|prefetch|define|ret|br|phi|load|store|fadd|fmul|fsub|call|select)\b|(%[\w.]+|@\w+)/g;
    let last = 0;
    for (const m of text.matchAll(parts)) {
      pre.append(text.slice(last, m.index), el("span", { class: m[1] ? "c" : m[2] ? "k" : "n" }, m[0]));
      last = m.index + m[0].length;
    }
    pre.append(text.slice(last));
  }
  function launchOf(l) {
    const e = D.estimates[l], x = D.launches[l], k = D.kernels[x.kernel];
    return [el("dl", {}, [
      ["least time", [dot(e.limit), `${time(e.seconds)}, ${percent(e.seconds / WHOLE)} of a run; bound by ${LIMITS[e.limit]}`]],
      ["memory", `${bytes(e.traffic)}; ${bytes(x.bytes)} with every buffer once`],
      ["operations", `${count(x.operations)}, ${e.intensity.toFixed(2)} a byte`],
      ["vectors", vectors(k.vectors)],
      ["threads", k.parallel],
      k.in_place.length ? ["in place", k.in_place.join(", ")] : null,
      ["schedule", el("span", { class: "mono" }, k.schedule + (k.by_hand ? " (made by hand)" : ""))],
      k.local_bytes ? ["local arrays", `${bytes(k.local_bytes)} a thread`] : null,
      k.code_seconds !== null ? ["compiled in", time(k.code_seconds)] : null,
    ].filter(Boolean).map(([t, d]) => [el("dt", {}, t), el("dd", {}, d)])),
    el("h3", {}, "Code"), code(x.kernel)];
  }
  function regionPanel(i) {
    const r = D.regions[i], refused = D.refusals.filter((x) => x.region === i || x.other === i).slice(0, 12);
    const kernels = [...new Map(r.launches.map((l) => [D.launches[l].kernel, l])).values()];
    const first = kernels.includes(+at.launch) ? +at.launch : kernels[0];
    const node = at.node === null ? null : D.drawings[at.graph] && at.graph !== "regions" ? (at.graph === "before" ? D.before : D.nodes)[at.node] : null;
    return [el("h2", { id: "region" }, `Region ${i}: ${r.name}`), el("p", { class: "muted" }, `${r.loops}; ${r.nodes.length} ops, launches ${r.launches.join(", ")}`),
      node && nodePart(node), el("h3", {}, "Written at"), sources(r.sources),
      kernels.length > 1 ? el("div", { class: "tabs" }, kernels.map((l) => el("button", { class: `plain ${l === first ? "on" : ""}`, onclick: () => go({ launch: l }) }, D.kernels[D.launches[l].kernel].name))) : null,
      first === undefined ? null : launchOf(first),
      el("h3", {}, "Reads"), values(r.reads), el("h3", {}, "Stores"), values(r.stores),
      refused.length ? [el("h3", {}, "Not fused with"), el("dl", {}, refused.map((x) => [el("dt", {}, bytes(x.bytes)), el("dd", {}, regionLink(x.region === i ? x.other : x.region), `: ${x.why}`)]))] : null,
      el("h3", {}, "Ops"), el("pre", {}, r.nodes.concat(r.again).sort((a, b) => a - b).map((n) => `${opText(D.nodes, n)}${r.again.includes(n) ? "   ; computed for itself" : ""}`).join("\n"))];
  }
  const opText = (nodes, n) => `${nodes[n].value} = ${nodes[n].op}(${nodes[n].operands.map((o) => nodes[o].op === "fill" ? "const" : nodes[o].value).join(", ")}) : ${nodes[n].ty}`;
  function nodePart(node) {
    return [el("h3", {}, "Op"), el("div", { class: "source" }, el("span", {}, node.source ? `${node.source.file}:${node.source.line}` : "made by a pass"), `${node.value} = ${node.op} : ${node.ty}${node.gives.length ? "  \u2192 " + node.gives.join(", ") : ""}`, node.source && node.source.text ? el("div", { class: "muted" }, node.source.text) : null)];
  }
  function panel() {
    if (at.stage !== null) {
      const s = D.stages[at.stage], pre = el("pre", {});
      colour(pre, s.changed ? s.text : "as before");
      return [el("h2", {}, s.name), el("p", { class: "muted" }, s.about), pre];
    }
    if (at.region !== null) return regionPanel(at.region);
    if (at.kernel !== null) {
      const k = D.kernels[at.kernel];
      return [el("h2", {}, k.name), k.launches.length ? launchOf(k.launches[0]) : code(at.kernel)];
    }
    if (at.node !== null && at.graph !== "regions") {
      const node = (at.graph === "before" ? D.before : D.nodes)[at.node];
      if (node) return [el("h2", {}, `${node.value} ${node.op}`), nodePart(node), el("p", { class: "muted" }, at.graph === "before" ? "As it was written, before all passes." : "It belongs to no region: whoever reads it computes it.")];
    }
    const worst = REGION.map((r, i) => [r.seconds, i]).sort((a, b) => b[0] - a[0]).slice(0, 8);
    return [el("h2", {}, "Where the time must go"), el("p", { class: "muted" }, "The regions that take longest at the least. Choose a box, or one of these."),
      table("worst", [
        { name: "region", key: ([, i]) => D.regions[i].name, show: ([, i]) => [dot(REGION[i].limit), `${i} ${D.regions[i].name}`] },
        { name: "least time", key: ([s]) => s, show: ([s]) => time(s), right: true },
        { name: "share", key: ([s]) => s, show: ([s]) => percent(s / WHOLE), right: true },
      ], worst, 1, ([, i]) => toRegion(i)),
      el("h3", {}, "Limits of the machine"), el("dl", {}, el("dt", {}, "memory"), el("dd", {}, `${bytes(D.limits.bytes_per_second)}/s`), el("dt", {}, "arithmetic"), el("dd", {}, `${count(D.limits.operations_per_second)} operations/s`), el("dt", {}, "from"), el("dd", {}, D.limits.origin)),
      D.sizes.length ? [el("h3", {}, "Sizes"), el("dl", {}, D.sizes.map((s) => [el("dt", { class: "mono" }, s.name), el("dd", {}, `${s.least} to ${s.greatest}; figures are for ${s.greatest}`)]))] : null];
  }

  // ---- search
  const words = new Map();
  function regionWords(i) {
    if (!words.has(i)) {
      const r = D.regions[i];
      words.set(i, [r.name, r.loops, ...r.nodes.map((n) => `${D.nodes[n].value} ${D.nodes[n].op}`), ...r.sources.map((s) => `${s.file}:${s.line} ${s.text || ""}`),
        ...r.reads.map((v) => v.name), ...r.stores.map((v) => v.name), ...r.stores.flatMap((v) => D.nodes[v.node].gives)].join(" \n").toLowerCase());
    }
    return words.get(i);
  }
  const matches = (text, find) => find.split(/\s+/).every((w) => text.toLowerCase().includes(w));
  function found() {
    const find = at.find.trim().toLowerCase();
    if (!find) return null;
    const hits = D.regions.map((r, i) => i).filter((i) => matches(regionWords(i), find));
    const why = (i) => regionWords(i).split("\n").find((l) => l.includes(find.split(/\s+/)[0])) || "";
    return el("div", { class: "found" }, hits.length ? hits.slice(0, 30).map((i) => el("a", { onclick: () => { searching = false; toRegion(i, { tab: "graph", graph: "regions" }); } },
      `${i} ${D.regions[i].name}`, el("small", {}, why(i).trim()))) : el("a", {}, "nothing has all these words"));
  }
  let searching = false;

  // ---- the page
  const app = document.getElementById("app");
  const VIEWS = { graph: ["Graph", graph], kernels: ["Kernels", kernels, D.kernels.length], refusals: ["Not fused", refusals, D.refusals.length],
    again: ["Computed again", again, D.recomputed.length], memory: ["Memory", memory], passes: ["Passes", passes] };
  const figure = (n, t) => el("div", { class: "figure" }, el("b", {}, n), el("span", {}, t));
  const input = el("input", { type: "search", placeholder: "Find ops, values, lines  ( / )", "aria-label": "find",
    oninput: () => { searching = true; go({ find: input.value }); }, onfocus: () => { searching = true; },
    onkeydown: (e) => {
      if (e.key === "Escape") { searching = false; input.blur(); go({ find: "" }); }
      if (e.key === "Enter") { const a = document.querySelector(".found a"); if (a) a.click(); }
    } });
  const box = el("div", { class: "find" }, input);
  const nav = el("nav", {}), view = el("div", { class: "view" }), side = el("aside", { class: "panel" });
  function theme(change) {
    let t = null;
    try { t = localStorage.getItem("latentc-theme"); } catch { /* a page without storage */ }
    const now = document.documentElement.dataset.theme || t || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    const next = change ? (now === "dark" ? "light" : "dark") : now;
    document.documentElement.dataset.theme = next;
    if (change) { try { localStorage.setItem("latentc-theme", next); } catch { /* likewise */ } show(); }
  }
  const wanted = new URLSearchParams(location.hash.slice(1)).get("theme");
  if (wanted === "dark" || wanted === "light") document.documentElement.dataset.theme = wanted;
  theme(false);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (e) => { document.documentElement.dataset.theme = e.matches ? "dark" : "light"; show(); });
  app.append(el("header", {},
    el("div", {}, el("h1", {}, D.program), el("div", { class: "sub" }, `${D.title}; ${D.isa}, ${D.limits.threads} threads`)),
    el("div", { class: "figures" }, figure(time(WHOLE), "least time of a run"), figure(String(D.kernels.length), "kernels"), figure(String(D.launches.length), "launches"),
      figure(bytes(sum(D.estimates.map((e) => e.traffic))), "memory traffic"), figure(count(sum(D.launches.map((l) => l.operations))), "operations"), figure(bytes(D.memory.arena), "arena")),
    el("div", { class: "grow" }), box, el("button", { class: "plain theme", onclick: () => theme(true), title: "light or dark" }, "\u25d1")), nav, el("main", {}, view, side));
  addEventListener("keydown", (e) => {
    if (e.key === "/" && document.activeElement !== input) { e.preventDefault(); input.focus(); }
    if (e.key === "Escape" && document.activeElement !== input) go({ region: null, kernel: null, node: null, stage: null });
  });
  addEventListener("pointerdown", (e) => { if (searching && !box.contains(e.target)) { searching = false; box.querySelector(".found")?.remove(); } });
  let shown = "";
  function show() {
    if (!VIEWS[at.tab]) at.tab = "graph";
    if (!D.drawings[at.graph]) at.graph = "regions";
    if (!FORMS.some(([f]) => f === at.code)) at.code = "nest";
    nav.replaceChildren(...Object.entries(VIEWS).map(([k, [t, , n]]) => el("a", { class: at.tab === k ? "on" : "", tabindex: 0, onclick: () => go({ tab: k }) }, t, n ? el("sup", {}, String(n)) : null)));
    if (input.value !== at.find) input.value = at.find;
    box.querySelector(".found")?.remove();
    if (searching && at.find) box.append(found());
    const is_graph = at.tab === "graph";
    const [top, side_top] = [view.scrollTop, side.scrollTop];
    view.className = `view ${is_graph ? "graph" : ""}`;
    const made = VIEWS[at.tab][1]();
    view.replaceChildren(...(is_graph ? made : [el("div", { class: "pad" }, made)]));
    side.replaceChildren(...[panel()].flat(3).filter(Boolean));
    const place = `${at.region} ${at.kernel} ${at.stage} ${at.node}`;
    view.scrollTop = shown.startsWith(at.tab + " ") ? top : 0;
    side.scrollTop = shown === `${at.tab} ${place}` ? side_top : 0;
    shown = `${at.tab} ${place}`;
  }
  show();
  // For whoever waits for the page: milliseconds since it was opened.
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
