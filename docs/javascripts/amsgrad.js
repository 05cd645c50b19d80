// The update of jamsgrad/_optimizer/algorithm.py in float64, and the problems of the page Explore.
// Nothing here needs a document: the tests run this file in node and compare it with the library.
"use strict";

const amsgrad = (() => {
  // Convention of algorithm.py, and Adam: AMSGrad as torch corrects it, without the maximum.
  const rules = {
    paper: { max: true, debiasM: false, debiasV: "never" },
    optax: { max: true, debiasM: true, debiasV: "before_max" },
    pytorch: { max: true, debiasM: true, debiasV: "after_max" },
    keras: { max: true, debiasM: true, debiasV: "after_max", epsHat: true },
    adam: { max: false, debiasM: true, debiasV: "after_max" },
  };

  // The exponential average b old + (1 - b) now, as algorithm.py rounds it.
  const average = (b, old, now) => (b >= 0.5 ? old + (1 - b) * (now - old) : now - b * (now - old));

  // One step of one coordinate, from its state and its gradient.
  function update(rule, { b1, b2, eps }, state, g) {
    const c1 = average(b1, state.c1, 1);
    const c2 = average(b2, state.c2, 1);
    const m = average(b1, state.m, g);
    const v = average(b2, state.v, g * g);
    const now = rule.debiasV === "before_max" ? v / c2 : v;
    const vhat = rule.max ? Math.max(state.vhat, now) : now;
    const largest = rule.debiasV === "after_max" ? vhat / c2 : vhat;
    const denominator = Math.sqrt(largest) + (rule.epsHat ? eps / Math.sqrt(c2) : eps);
    const u = largest === 0 ? 0 : m / (rule.debiasM ? c1 * denominator : denominator);
    // For the picture: the square of now, and the one that divides, corrected where the rule does.
    const filled = rule.debiasV === "never" ? v : v / c2;
    return { c1, c2, m, v, vhat, u, denominator, filled, outlined: largest };
  }

  const initial = { c1: 0, c2: 0, m: 0, v: 0, vhat: 0, filled: 0, outlined: 0, denominator: NaN };

  // A problem: its box, its minimizers, fun(x), and grad(x, t), the gradient of step t = 1, 2, ...
  const problems = {
    bowl: {
      box: [
        [-1, 1],
        [-1, 1],
      ],
      minimizers: [[0, 0]],
      fun: ([x, y]) => x * x + y * y,
      grad: ([x, y]) => [2 * x, 2 * y],
    },
    rosenbrock: {
      box: [
        [-2.048, 2.048],
        [-2.048, 2.048],
      ],
      minimizers: [[1, 1]],
      fun: ([x, y]) => 100 * (y - x * x) ** 2 + (1 - x) ** 2,
      grad: ([x, y]) => [-400 * (y - x * x) * x - 2 * (1 - x), 200 * (y - x * x)],
    },
    himmelblau: {
      box: [
        [-5, 5],
        [-5, 5],
      ],
      minimizers: [
        [3, 2],
        [-2.805118086952745, 3.131312518250573],
        [-3.779310253377747, -3.2831859912861696],
        [3.5844283403304917, -1.8481265269644036],
      ],
      fun: ([x, y]) => (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2,
      grad: ([x, y]) => {
        const a = x * x + y - 11;
        const b = x + y * y - 7;
        return [4 * x * a + 2 * b, 2 * a + 4 * y * b];
      },
    },
    // problems.reddi_theorem1: losses g_t x of one variable. Their mean is x / 3; best is x = -1.
    reddi: {
      box: [[-1, 1]],
      minimizers: [[-1]],
      fun: ([x]) => (x + 1) / 3,
      grad: (_, t) => [t % 3 === 1 ? 3 : -1],
    },
  };

  function clipped(g, norm) {
    const length = Math.hypot(...g);
    return length > norm ? g.map((x) => (x / length) * norm) : g;
  }

  const SPIKE = 1000; // what each component of the gradient is at a step of `spikes`

  // The rows 0 to `steps` of a search: x and its value, and what the update of that step computed.
  function run(settings, steps) {
    const { alpha, clip = Infinity, spikes = [] } = settings;
    const problem = problems[settings.problem];
    const rule = rules[settings.rule];
    let x = [...settings.start];
    let state = x.map(() => initial);
    const rows = [{ x, fun: problem.fun(x), g: x.map(() => 0), state }];
    for (let t = 1; t <= steps; t++) {
      const seen = spikes.includes(t) ? x.map(() => SPIKE) : problem.grad(x, t);
      const g = clipped(seen, clip);
      state = state.map((s, i) => update(rule, settings, s, g[i]));
      x = x.map((xi, i) => {
        const [low, high] = problem.box[i];
        return Math.min(Math.max(xi - alpha * state[i].u, low), high);
      });
      rows.push({ x, fun: problem.fun(x), g, state });
    }
    return rows;
  }

  // What is shown of a problem where nothing else is said.
  const START = { bowl: [-0.8, 0.6], rosenbrock: [-1.5, 1.5], himmelblau: [1, -4], reddi: [0] };
  const plain = (problem) => ({
    problem,
    start: START[problem],
    show: ["paper", "optax", "adam"],
    alpha: problem === "himmelblau" ? 0.1 : 0.05,
    b1: problem === "reddi" ? 0 : 0.9, // Reddi's own, with which Theorem 1 is proved
    b2: problem === "reddi" ? 0.1 : 0.999,
    eps: 1e-8,
    clip: Infinity, // the largest norm of a gradient
    spikes: [], // steps with a gradient of 1000
    t: 0,
  });

  // What a button of the page sets: "problem=bowl show=paper,adam b2=0.99 play=300".
  function scene(words) {
    const given = Object.fromEntries(words.split(" ").map((word) => word.split("=")));
    const { problem, show, ...others } = given;
    const found = { ...plain(problem), show: show.split(",") };
    for (const [name, text] of Object.entries(others)) {
      const numbers = text.split(",").map(Number);
      found[name] = Array.isArray(found[name]) ? numbers : numbers[0];
    }
    return found;
  }

  return { rules, problems, run, plain, scene };
})();

if (typeof module !== "undefined") module.exports = amsgrad;
