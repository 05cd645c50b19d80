// The drawings of the page Explore. A scene says what is shown: { shown, paths, color }, where paths
// are pairs of a rule's name and its rows from amsgrad.js, and color(name) is one of explore.css.
"use strict";

const pictures = (() => {
  const { problems } = amsgrad;

  // ---- canvases, axes, numbers ----

  // A canvas, empty and as sharp as the screen, in CSS pixels; null where it is not laid out.
  function sheet(canvas, { color }) {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width < 20 || height < 20) return null;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `${width < 420 ? 10.5 : 12}px ${getComputedStyle(canvas).fontFamily}`;
    pen.lineJoin = pen.lineCap = "round";
    return { pen, width, height, ratio, ink: color("ink"), faint: color("line") };
  }

  function line(pen, points, { dash = [], ...style }) {
    pen.beginPath();
    points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    Object.assign(pen, style);
    pen.setLineDash(dash);
    pen.stroke();
    pen.setLineDash([]);
  }

  function label({ pen, ink }, text, x, y, align = "center") {
    Object.assign(pen, { textAlign: align, textBaseline: "middle", fillStyle: ink });
    pen.fillText(text, x, y);
  }

  function dot(pen, [x, y], radius, fill, edge = 1.2) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    Object.assign(pen, { fillStyle: fill, strokeStyle: "black", lineWidth: edge });
    pen.fill();
    if (edge) pen.stroke();
  }

  function ticks(low, high, most) {
    const rough = (high - low) / most;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((k) => k * unit).find((k) => k >= rough);
    const first = Math.ceil(low / step - 1e-9);
    const n = Math.floor(high / step + 1e-9) - first + 1;
    return Array.from({ length: Math.max(n, 0) }, (_, i) => Number(((first + i) * step).toPrecision(6)));
  }

  const minus = (text) => String(text).replaceAll("-", "\u2212");
  const thousands = (t) => String(t).replace(/\B(?=(\d{3})+$)/, "\u2009");
  const superscript = (n) => Array.from(String(n), (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");

  // Three digits.
  function number(x) {
    if (x === 0 || !Number.isFinite(x)) return x === 0 ? "0" : "";
    const size = Math.abs(x);
    return minus(
      size >= 1e-3 && size < 1e5 ? Number(x.toPrecision(3)) : x.toExponential(1).replace(".0e", "e"),
    );
  }

  // ---- the land: bands of viridis, as in jamsgrad.plots ----

  const VIRIDIS =
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 " +
    "84d44b addc30 d8e219 fde725";
  const STOPS = VIRIDIS.split(" ").map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const BANDS = 24;
  const BAND = Array.from({ length: BANDS }, (_, band) => {
    const at = (band / (BANDS - 1)) * (STOPS.length - 1);
    const i = Math.min(Math.floor(at), STOPS.length - 2);
    return STOPS[i].map((c, k) => c + (at - i) * (STOPS[i + 1][k] - c));
  });
  // From a value to its share of the scale, from 0 to 1.
  const SHARE = {
    bowl: (v) => v / 2,
    rosenbrock: (v) => Math.log(Math.max(v, 0.057) / 0.057) / Math.log(3906 / 0.057),
    himmelblau: (v) => (v / 890) ** 0.45,
    reddi: (v) => v / (2 / 3),
  };

  const lands = new Map();
  function land(name, width, height) {
    const key = `${name} ${width} ${height}`;
    if (lands.has(key)) return lands.get(key);
    const { fun, box } = problems[name];
    const at = ([low, high], share) => low + share * (high - low);
    const level = (i, j) => {
      const [right, up] = [(i + 0.5) / width, 1 - (j + 0.5) / height];
      const x = box.length === 1 ? [at(box[0], up)] : [at(box[0], right), at(box[1], up)];
      return BANDS * SHARE[name](fun(x));
    };
    const image = new ImageData(width, height);
    let above = Array.from({ length: width + 1 }, (_, i) => level(i, -1));
    for (let j = 0; j < height; j++) {
      const here = Array.from({ length: width + 1 }, (_, i) => level(i, j));
      for (let i = 0; i < width; i++) {
        // Smooth edges: a pixel across which the level passes a whole number has both colours.
        const slope = Math.abs(here[i + 1] - here[i]) + Math.abs(above[i] - here[i]) + 1e-9;
        const band = Math.min(Math.max(Math.floor(here[i]), 0), BANDS - 1);
        const share = Math.min(Math.max(here[i] - band, 0) / slope, 1);
        const below = BAND[Math.max(band - 1, 0)];
        const pixel = 4 * (j * width + i);
        for (let k = 0; k < 3; k++) image.data[pixel + k] = below[k] + share * (BAND[band][k] - below[k]);
        image.data[pixel + 3] = 255;
      }
      above = here;
    }
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    if (lands.size > 8) lands.clear();
    lands.set(key, canvas);
    return canvas;
  }

  // ---- the picture: paths over the land, or of one variable over time ----

  // Lines of rules that often coincide differ in width and dash, so that each is seen.
  const LOOK = {
    paper: { lineWidth: 2.4 },
    optax: { lineWidth: 2.4 },
    pytorch: { lineWidth: 4 },
    keras: { lineWidth: 2, dash: [1, 5] },
    adam: { lineWidth: 2.2, dash: [7, 5] },
  };

  // From numbers to pixels and back.
  function frame(width, height, { problem, t }) {
    const { box } = problems[problem];
    const online = box.length === 1;
    const edge = { left: width < 420 ? 30 : 38, right: 10, top: 10, bottom: 24 };
    const [w, h] = [width - edge.left - edge.right, height - edge.top - edge.bottom];
    const x = online ? [0, Math.max(60, t * 1.04)] : box[0];
    const y = box.at(-1);
    const px = (value) => edge.left + ((value - x[0]) / (x[1] - x[0])) * w;
    const py = (value) => edge.top + ((y[1] - value) / (y[1] - y[0])) * h;
    const back = (right, down) => {
      const point = [
        x[0] + ((right - edge.left) / w) * (x[1] - x[0]),
        y[1] - ((down - edge.top) / h) * (y[1] - y[0]),
      ];
      return online ? point.slice(1) : point;
    };
    const place = (row, step) => (online ? [px(step), py(row.x[0])] : [px(row.x[0]), py(row.x[1])]);
    const push = ([a, b]) => (online ? [0, a] : [(-a * w) / (x[1] - x[0]), (b * h) / (y[1] - y[0])]);
    return { online, edge, w, h, x, y, px, py, back, place, push };
  }

  function search(canvas, scene) {
    const paper = sheet(canvas, scene);
    if (!paper) return null;
    const { pen, width, height, ratio } = paper;
    const { shown, paths, color } = scene;
    const view = frame(width, height, shown);
    const { edge, w, h, px, py, place, online } = view;
    const size = [w, h].map((side) => Math.round(side * ratio));
    pen.drawImage(land(shown.problem, ...size), edge.left, edge.top, w, h);
    axes(paper, view);

    pen.save();
    pen.beginPath();
    pen.rect(edge.left, edge.top, w, h);
    pen.clip();
    if (online) events(pen, view, shown);
    const { minimizers } = problems[shown.problem];
    for (const [x, y] of minimizers) star(pen, online ? [edge.left + 14, py(x) - 13] : [px(x), py(y)]);
    const curves = paths.map(([rule, path]) => [rule, path.map(place), LOOK[rule]]);
    for (const [, points, { lineWidth }] of curves)
      line(pen, points, { strokeStyle: "rgba(255, 255, 255, 0.85)", lineWidth: lineWidth + 2.4 });
    for (const [rule, points, look] of curves) {
      line(pen, points, { ...look, strokeStyle: color(rule) });
      const few = shown.t <= 120 && !look.dash && !online;
      if (few) for (const point of points) dot(pen, point, look.lineWidth / 2 + 1.4, color(rule), 0);
    }
    for (const [, path] of paths)
      for (const t of shown.spikes) if (!online && t <= shown.t) cross(pen, place(path[t - 1]));
    dot(pen, place({ x: shown.start }, 0), 6, "white");
    arrows(pen, scene, view);
    for (const [rule, path] of paths) if (shown.t) dot(pen, place(path[shown.t], shown.t), 5.5, color(rule));
    pen.restore();
    return view;
  }

  function axes(paper, { edge, w, h, x, y, px, py, online }) {
    const { pen, ink, faint, width } = paper;
    const [right, bottom] = [edge.left + w, edge.top + h];
    const tick = (from, to) => line(pen, [from, to], { strokeStyle: ink, lineWidth: 1 });
    for (const value of ticks(...x, 5)) {
      tick([px(value), bottom], [px(value), bottom + 4]);
      if (px(value) < right - (online ? 50 : 24)) label(paper, minus(value), px(value), bottom + 14);
    }
    for (const value of ticks(...y, 5)) {
      tick([edge.left - 4, py(value)], [edge.left, py(value)]);
      if (py(value) > edge.top + 20) label(paper, minus(value), edge.left - 7, py(value), "right");
    }
    label(paper, online ? "step t" : "x₀", right, bottom + 14, "right");
    label(paper, online ? "x" : "x₁", edge.left - 7, edge.top + 6, "right");
    Object.assign(pen, { strokeStyle: faint, lineWidth: 1 });
    pen.strokeRect(edge.left - 0.5, edge.top - 0.5, w + 1, h + 1);
  }

  // Marks where Reddi's gradient is 3, and lines where it is 1000.
  function events(pen, { px, edge, h, x }, { spikes, t: now }) {
    if (px(3) - px(0) > 4)
      for (let t = 1; t <= x[1]; t += 3)
        line(
          pen,
          [
            [px(t), edge.top],
            [px(t), edge.top + 8],
          ],
          { strokeStyle: "rgba(0, 0, 0, 0.6)", lineWidth: 1.5 },
        );
    for (const t of spikes.filter((t) => t <= now))
      line(
        pen,
        [
          [px(t), edge.top],
          [px(t), edge.top + h],
        ],
        { strokeStyle: "white", lineWidth: 1.5, dash: [3, 5] },
      );
  }

  function star(pen, [x, y], size = 11) {
    pen.beginPath();
    for (let i = 0; i < 10; i++) {
      const [angle, r] = [(i * Math.PI) / 5 - Math.PI / 2, i % 2 ? size * 0.42 : size];
      pen.lineTo(x + r * Math.cos(angle), y + r * Math.sin(angle));
    }
    pen.closePath();
    Object.assign(pen, { fillStyle: "#f0e442", strokeStyle: "black", lineWidth: 1 });
    pen.fill();
    pen.stroke();
  }

  function cross(pen, [x, y]) {
    const arms = [
      [
        [x - 5, y - 5],
        [x + 5, y + 5],
      ],
      [
        [x - 5, y + 5],
        [x + 5, y - 5],
      ],
    ];
    for (const arm of arms) line(pen, arm, { strokeStyle: "black", lineWidth: 4.5 });
    for (const arm of arms) line(pen, arm, { strokeStyle: "white", lineWidth: 2 });
  }

  // Where -g (thin) and -m (thick) push. Lengths are cube roots, so that small ones are seen.
  function arrows(pen, { shown, paths, color }, { place, push, online }) {
    const norm = (g) => Math.hypot(...g);
    const most = Math.max(...paths.flatMap(([, path]) => path.map((row) => norm(row.g))), 1e-300);
    const draw = (row, g, style) => {
      const [dx, dy] = push(g);
      const length = 66 * Math.cbrt(Math.min(norm(g) / most, 1));
      if (length > 12)
        arrow(
          pen,
          place(row, shown.t),
          [dx, dy].map((d) => d / Math.hypot(dx, dy)),
          length,
          style,
        );
    };
    const ends = paths.map(([rule, path]) => [rule, path[shown.t]]);
    for (const [, row] of online ? [] : ends)
      draw(row, problems[shown.problem].grad(row.x), { strokeStyle: "white", lineWidth: 1.2 });
    for (const [rule, row] of ends)
      draw(
        row,
        row.state.map((s) => s.m),
        { strokeStyle: color(rule), lineWidth: 3 },
      );
  }

  function arrow(pen, [x, y], [ex, ey], length, style) {
    const head = Math.min(9, length / 2);
    const tip = [x + ex * length, y + ey * length];
    const wing = (side) => [tip[0] - head * (ex - side * 0.55 * ey), tip[1] - head * (ey + side * 0.55 * ex)];
    for (const look of [{ strokeStyle: "rgba(0, 0, 0, 0.75)", lineWidth: style.lineWidth + 2.5 }, style]) {
      line(pen, [[x, y], tip], look);
      line(pen, [wing(1), tip, wing(-1)], look);
    }
  }

  // ---- a number over time ----

  function chart(canvas, scene, value, log) {
    const paper = sheet(canvas, scene);
    if (!paper) return;
    const { pen, width, height, ink, faint } = paper;
    const { shown, paths, color } = scene;
    const curves = paths.map(([rule, path]) => [rule, path.map(value)]);
    const values = curves.flatMap(([, ys]) => ys).filter((y) => (log ? y > 0 : y >= 0));
    const [least, most] = values.length ? [Math.min(...values), Math.max(...values)] : [0.1, 1];
    const to = log ? Math.log10 : (y) => y;
    const [low, high] = log
      ? [Math.floor(to(Math.max(least, most * 1e-13)) - 0.05), Math.ceil(to(most) + 0.05)]
      : [0, Math.max(most * 1.05, 1e-6)];
    const last = Math.max(60, shown.t);
    const edge = { left: 36, right: 16, top: 8, bottom: 20 };
    const [w, h] = [width - edge.left - edge.right, height - edge.top - edge.bottom];
    const px = (t) => edge.left + (t / last) * w;
    const py = (y) => edge.top + ((high - Math.max(to(y), low)) / (high - low)) * h;

    const every = Math.ceil((high - low) / 4);
    const powers = log
      ? Array.from({ length: Math.floor((high - low) / every) + 1 }, (_, i) => low + i * every)
      : [];
    const marks = log
      ? powers.map((k) => [10 ** k, Math.abs(k) <= 2 ? String(10 ** k) : `10${superscript(k)}`])
      : ticks(low, high, 4).map((y) => [y, minus(y)]);
    for (const [y, text] of marks) {
      line(
        pen,
        [
          [edge.left, py(y)],
          [edge.left + w, py(y)],
        ],
        { strokeStyle: faint, lineWidth: 1 },
      );
      label(paper, text, edge.left - 5, py(y), "right");
    }
    for (const t of ticks(0, last, 4)) label(paper, thousands(t), px(t), edge.top + h + 11);
    for (const t of shown.spikes.filter((t) => t <= shown.t))
      line(
        pen,
        [
          [px(t), edge.top],
          [px(t), edge.top + h],
        ],
        { strokeStyle: ink, lineWidth: 1, dash: [2, 4] },
      );
    for (const [rule, ys] of curves) {
      const points = ys.map((y, t) => [px(t), py(y)]).filter(([, y]) => Number.isFinite(y));
      line(pen, points, { ...LOOK[rule], lineWidth: 0.8 * LOOK[rule].lineWidth, strokeStyle: color(rule) });
      if (points.length) dot(pen, points.at(-1), 2.8, color(rule), 0);
    }
  }

  // ---- v and vhat as squares, one pair per coordinate ----

  // A side is the root: the usual size of the gradients. Filled: v now. Outlined: what divides m.
  // `most` is the largest that was outlined so far in any search: it fills its place.
  function squares(canvas, scene, rule, state, most) {
    const paper = sheet(canvas, scene);
    if (!paper) return;
    const { pen, width, height, faint } = paper;
    const place = width / state.length;
    const full = Math.min(height - 3, place - 6);
    const side = (square) => full * Math.sqrt(square / most);
    const bottom = height - 1.5;
    const own = scene.color(rule);
    state.forEach((s, i) => {
      const x = (i + 0.5) * place - full / 2;
      line(
        pen,
        [
          [x - 1, bottom],
          [x + full + 1, bottom],
        ],
        { strokeStyle: faint, lineWidth: 1 },
      );
      Object.assign(pen, { fillStyle: own, strokeStyle: own, lineWidth: 1.6, globalAlpha: 0.5 });
      pen.fillRect(x, bottom - side(s.filled), side(s.filled), side(s.filled));
      pen.globalAlpha = 1;
      pen.strokeRect(x, bottom - side(s.outlined), side(s.outlined), side(s.outlined));
    });
  }

  return { search, chart, squares, number, thousands };
})();
