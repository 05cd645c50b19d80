// The page Explore: its controls, and what they change. All that is seen follows from `shown`.
"use strict";

(() => {
  const lab = document.getElementById("explore");
  const { rules, problems, run, plain } = amsgrad;
  const { number, thousands } = pictures;
  const LAST = 2000; // steps
  const ORDER = Object.keys(rules);

  // ---- the markup ----

  const NAMES = { paper: "paper", optax: "optax", pytorch: "pytorch", keras: "keras", adam: "Adam" };
  const FUNCTIONS = { himmelblau: "Himmelblau", rosenbrock: "Rosenbrock", bowl: "bowl", reddi: "Reddi" };
  const RANGES = {
    alpha: ["learning rate", -4, 0.5], // of the sliders, whose scales are below
    b1: ["b1", 0, 2],
    b2: ["b2", 0, 4],
    eps: ["eps", -12, 1],
  };
  const each = (names, html) => Object.keys(names).map(html).join("");
  const problemChip = (name) => `
    <label class="ex-chip">
      <input type="radio" name="ex-problem" value="${name}">${FUNCTIONS[name]}
    </label>`;
  const ruleChip = (rule) => `
    <label class="ex-chip ex-${rule}">
      <input type="checkbox" name="ex-rule" value="${rule}"><i></i>${NAMES[rule]}
    </label>`;
  const card = (rule) => `
    <div class="ex-card ex-${rule}" data-rule="${rule}" hidden>
      <b>${NAMES[rule]}</b>
      <canvas role="img" aria-label="v and v̂ as squares"></canvas>
      <dl>
        <dt>f</dt><dd data-is="fun"></dd>
        <dt>√v</dt><dd data-is="v"></dd>
        <dt>√v̂</dt><dd data-is="vhat"></dd>
      </dl>
    </div>`;
  const slider = (name, [title, low, high] = RANGES[name]) => `
    <div>
      <label for="ex-${name}">${title}</label><output for="ex-${name}"></output>
      <input type="range" id="ex-${name}" data-knob="${name}" min="${low}" max="${high}" step="0.05">
    </div>`;
  const figure = (name, title, what) => `
    <figure>
      <figcaption id="ex-${name}-is">${title}</figcaption>
      <canvas id="ex-${name}" role="img" aria-label="${what} over time"></canvas>
    </figure>`;
  lab.innerHTML = `
    <fieldset class="ex-choice">
      <legend>Function</legend>${each(FUNCTIONS, problemChip)}
      <label class="ex-chip ex-clip"><input type="checkbox" name="ex-clip">clip gradients at norm 1</label>
    </fieldset>
    <fieldset class="ex-choice"><legend>AMSGrad as in</legend>${each(rules, ruleChip)}</fieldset>
    <div class="ex-stage">
      <canvas id="ex-picture" tabindex="0" role="application" aria-describedby="ex-status" aria-label="Paths
        of the searches over the function. Arrow keys move the start, space plays, full stop steps,
        r resets, g gives one gradient of 1000."></canvas>
      <div class="ex-time">
        <button type="button" data-do="play"></button>
        <button type="button" data-do="step">Step</button>
        <button type="button" data-do="reset">Reset</button>
        <button type="button" data-do="spike">One gradient of 1000</button>
        <div>
          <label for="ex-t">t =</label> <output for="ex-t"></output>
          <input type="range" id="ex-t" data-knob="t" min="0" max="${LAST}" step="1">
        </div>
      </div>
      <div class="ex-cards">${each(rules, card)}</div>
    </div>
    <div class="ex-charts">
      ${figure("loss", "f(x)", "f")}
      ${figure("size", "step size of x₀: α / (√v̂ + eps)", "step size")}
    </div>
    <div class="ex-knobs">${each(RANGES, (name) => slider(name))}</div>
    <p id="ex-status" class="ex-unseen" aria-live="polite"></p>`;

  const find = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const picture = find("#ex-picture");
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // ---- what is shown ----

  let shown = { ...plain("himmelblau"), t: 60 };
  let view = null; // from pixels to numbers, in the picture as it is

  // The rows of a search. A few more than are shown are kept, so that playing on is cheap.
  const known = new Map();
  function rows(rule) {
    const { show, t, ...settings } = shown;
    const key = JSON.stringify(settings);
    let found = known.get(rule);
    if (found?.key !== key || found.path.length <= t) {
      const steps = Math.min(LAST, Math.max(64, playing ? 2 * t : t));
      known.set(rule, (found = { key, path: run({ ...settings, rule }, steps) }));
    }
    return found.path.slice(0, t + 1);
  }

  let asked = false;
  function show() {
    if (!asked) requestAnimationFrame(() => ((asked = false), paint()));
    asked = true;
  }

  function paint() {
    const style = getComputedStyle(lab);
    const color = (name) => style.getPropertyValue(`--ex-${name}`).trim();
    const paths = ORDER.filter((rule) => shown.show.includes(rule)).map((rule) => [rule, rows(rule)]);
    const scene = { shown, paths, color };
    view = pictures.search(picture, scene);
    pictures.chart(find("#ex-loss"), scene, (row) => row.fun, shown.problem !== "reddi");
    pictures.chart(find("#ex-size"), scene, (row) => shown.alpha / row.state[0].denominator, true);
    cards(scene);
    controls();
    if (!playing) tell(paths);
  }

  function cards(scene) {
    const outlined = scene.paths.flatMap(([, path]) =>
      path.flatMap((row) => row.state.map((s) => s.outlined)),
    );
    const most = outlined.reduce((a, b) => Math.max(a, b), 1e-300);
    const rowOf = ({ dataset }) => scene.paths.find(([rule]) => rule === dataset.rule)?.[1][shown.t];
    for (const card of all(".ex-card")) card.hidden = !rowOf(card); // before any is measured
    for (const card of all(".ex-card:not([hidden])")) {
      const { fun, state } = rowOf(card);
      pictures.squares(card.querySelector("canvas"), scene, card.dataset.rule, state, most);
      const numbers = { fun, v: Math.sqrt(state[0].filled), vhat: Math.sqrt(state[0].outlined) };
      for (const cell of card.querySelectorAll("[data-is]"))
        cell.textContent = number(numbers[cell.dataset.is]);
    }
  }

  function controls() {
    for (const knob of all("[data-knob]")) {
      const { to, text } = SCALES[knob.dataset.knob];
      const value = shown[knob.dataset.knob];
      knob.value = to(value);
      knob.setAttribute("aria-valuetext", text(value));
      find(`output[for="${knob.id}"]`).textContent = text(value);
    }
    for (const box of all("[name=ex-rule]")) box.checked = shown.show.includes(box.value);
    for (const box of all("[name=ex-problem]")) box.checked = box.value === shown.problem;
    find("[name=ex-clip]").checked = Number.isFinite(shown.clip);
    find("[data-do=play]").textContent = playing ? "❚❚ Pause" : "▶ Play";
    find("#ex-loss-is").textContent = shown.problem === "reddi" ? "mean loss above the best" : "f(x)";
    find("#ex-python").textContent = python();
    lab.dataset.playing = playing;
  }

  let telling;
  function tell(paths) {
    clearTimeout(telling);
    telling = setTimeout(() => {
      const values = paths.map(([rule, path]) => `${NAMES[rule]}: f = ${number(path.at(-1).fun)}`);
      find("#ex-status").textContent = `Step ${shown.t}. ${values.join("; ")}.`;
    }, 500);
  }

  function python() {
    const { problem, start, show, alpha, b1, b2, eps, clip, spikes, t } = shown;
    if (problem === "reddi" || spikes.length) return "# This sequence of gradients belongs to no function.";
    const rule = ORDER.find((name) => show.includes(name)) ?? "paper";
    const rates = `${alpha}, b1=${b1}, b2=${b2}, eps=${eps}`;
    const update = rule === "adam" ? `optax.adam(${rates})` : `amsgrad(${rates}, convention="${rule}")`;
    const clipped = `optax.chain(\n    optax.clip_by_global_norm(1.0),\n    ${update},\n)`;
    const decimal = (x) => (Number.isInteger(x) ? x.toFixed(1) : x);
    return `import jax.numpy as jnp
import optax
from jamsgrad import amsgrad, minimize, problems

problem = problems.${problem}${problem === "rosenbrock" ? "(2)" : ""}
optimizer = ${Number.isFinite(clip) ? clipped : update}
start = jnp.array([${start.map(decimal).join(", ")}])
result = minimize(
    problem.fun, start, optimizer, bounds=problem.bounds, max_steps=${t}, gtol=None
)
print(result.last_x)`;
  }

  // ---- time: slow at first, then ever faster ----

  let playing = false;
  let until = LAST;
  function play(to = LAST) {
    until = Math.min(to, LAST);
    if (shown.t >= until) shown.t = 0;
    if (still.matches) shown.t = until;
    show();
    if (still.matches || playing) return;
    playing = true;
    let [before, part] = [null, shown.t];
    requestAnimationFrame(function frame(now) {
      if (!playing) return;
      if (Math.floor(part) !== shown.t) part = shown.t; // it was moved
      const seconds = Math.min(now - (before ?? now), 50) / 1000;
      part = Math.min(part + seconds * Math.min(8 + shown.t, 600), until);
      before = now;
      if (part >= until) playing = false;
      if (Math.floor(part) !== shown.t || !playing) {
        shown.t = Math.floor(part);
        paint();
      }
      requestAnimationFrame(frame);
    });
  }

  function pause() {
    playing = false;
    show();
  }

  const ACTIONS = {
    play: () => (playing ? pause() : play()),
    step: () => ((shown.t = Math.min(shown.t + 1, LAST)), pause()),
    reset: () => (Object.assign(shown, { t: 0, spikes: [] }), pause()),
    spike: () => {
      if (shown.t >= LAST) return;
      shown.spikes = [...shown.spikes.filter((t) => t <= shown.t), shown.t + 1];
      play(shown.t + 500);
    },
  };
  for (const button of all("[data-do]")) button.addEventListener("click", () => ACTIONS[button.dataset.do]());

  // ---- knobs: rates on a logarithmic scale, b1 and b2 by their distance from 1 ----

  // Two digits tell the twenty steps of a decade apart.
  const short = (x) => Number(x.toPrecision(2));
  const rate = { to: Math.log10, from: (k) => short(10 ** k), text: number };
  const decay = {
    to: (b) => -Math.log10(1 - b),
    from: (k) => Number((1 - short(10 ** -k)).toPrecision(8)),
    text: String, // 0.99911 is not 0.999
  };
  const time = { to: Number, from: Number, text: thousands };
  const SCALES = { alpha: rate, b1: decay, b2: decay, eps: rate, t: time };
  for (const knob of all("[data-knob]"))
    knob.addEventListener("input", () => {
      const name = knob.dataset.knob;
      shown[name] = SCALES[name].from(Number(knob.value));
      name === "t" ? pause() : show();
    });

  for (const box of all("[name=ex-rule]"))
    box.addEventListener("change", () => {
      shown.show = all("[name=ex-rule]:checked").map((other) => other.value);
      show();
    });
  for (const box of all("[name=ex-problem]"))
    box.addEventListener("change", () => {
      shown = { ...plain(box.value), show: shown.show };
      play(300);
    });
  find("[name=ex-clip]").addEventListener("change", (event) => {
    shown.clip = event.target.checked ? 1 : Infinity;
    show();
  });

  // ---- the buttons in the text ----

  function set(words) {
    const { play: to, ...others } = amsgrad.scene(words);
    playing = false;
    shown = others;
    play(to);
  }

  for (const button of all(".ex-set"))
    button.addEventListener("click", () => {
      for (const other of all(".ex-set")) other.setAttribute("aria-pressed", other === button);
      set(button.dataset.set);
      const { top, bottom } = picture.getBoundingClientRect();
      const behavior = still.matches ? "auto" : "smooth";
      if (top < 0 || bottom > innerHeight) picture.scrollIntoView({ behavior, block: "center" });
    });

  // ---- the start: by mouse, finger or arrow keys ----

  function startAt(point) {
    const inside = (x, [low, high]) => Math.min(Math.max(x, low), high);
    shown.start = problems[shown.problem].box.map((ends, i) => Number(inside(point[i], ends).toPrecision(4)));
    show();
  }

  let pressed = null;
  const at = ({ clientX, clientY }) => {
    const { left, top } = picture.getBoundingClientRect();
    return view.back(clientX - left, clientY - top);
  };
  picture.addEventListener("pointerdown", (event) => {
    if (event.button === 0) pressed = { x: event.clientX, y: event.clientY, dragged: false };
  });
  picture.addEventListener("pointermove", (event) => {
    if (!pressed) return;
    if (!pressed.dragged && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > 6) {
      pressed.dragged = true;
      picture.setPointerCapture(event.pointerId);
    }
    if (pressed.dragged) startAt(at(event));
  });
  picture.addEventListener("pointerup", (event) => {
    if (pressed && !pressed.dragged) {
      Object.assign(shown, { t: 0, spikes: [] });
      startAt(at(event));
      play(300);
    }
    pressed = null;
  });
  picture.addEventListener("pointercancel", () => (pressed = null));

  const KEYS = { " ": "play", ".": "step", r: "reset", g: "spike" };
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
  picture.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (ARROWS[event.key]) {
      const { box } = problems[shown.problem];
      const by = ARROWS[event.key].slice(-box.length);
      startAt(shown.start.map((x, i) => x + (by[i] * (box[i][1] - box[i][0])) / 100));
    } else if (KEYS[event.key]) ACTIONS[KEYS[event.key]]();
    else return;
    event.preventDefault();
    event.stopPropagation(); // the theme has keys of its own
  });

  new ResizeObserver(show).observe(picture);
  new MutationObserver(show).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  show();
})();
