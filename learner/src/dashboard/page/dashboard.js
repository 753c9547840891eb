// The dashboard: gets the token, loads the history, follows the run by events, and draws.
//
// Events are read by fetch and not by EventSource, which cannot show a token in a header; the token is
// never part of an address that is sent.

import { clock, forgetColours, grouped, LineChart } from "/charts.js";
import * as panels from "/panels.js";

const byId = (id) => document.getElementById(id);
const POINTS = 720;
const SILENCE = 30_000;
const [SOONEST, LATEST] = [500, 5_000];

const run = { token: null, id: null, incarnation: null, lastEvent: null, snapshot: null, history: null, distributionStep: null, isOver: false };
let connection = new AbortController();

// The charts.

const named = (...pairs) => () => pairs;
const CHARTS = {
  learning: [
    { id: "loss", title: "Loss", logarithmic: true, series: (history) => [["loss", "all samples"], ...sources(history)] },
    { id: "log-z", title: "log Z", series: named(["log_z", "learned"], ["log_z_mean_1000", "mean of 1,000 updates"], ["log_z_target", "target", "dashed"], ["samples.elbo", "lower bound"], ["target_samples.eubo", "upper bound"]) },
    { id: "distance", title: "Distance to the target", logarithmic: true, zero: true, series: named(["total_variation", "total variation, exact"], ["recent.total_variation", "of recent objects"], ["recent.noise_floor", "perfect samples", "dashed"]) },
    { id: "correlation", title: "Correlation of log p and log R", series: named(["test_set.spearman", "Spearman, test set"], ["spearman", "Spearman, exact"], ["pearson", "Pearson, exact"]) },
    { id: "gradient", title: "Norm of the gradient", logarithmic: true, zero: true, series: named(["gradient_norm", "before clipping"]) },
    { id: "learning-rate", title: "Learning rate", zero: true, series: named(["learning_rate", "of the policy"]) },
  ],
  objects: [
    { id: "modes", title: "Modes found", zero: true, series: named(["modes.found", "known modes found"], ["modes.good_objects", "good objects"]) },
    { id: "best-reward", title: "log R of the best objects", series: named(["top_k.mean_log_reward", "mean"], ["top_k.highest_log_reward", "highest"]) },
    { id: "diversity", title: "Diversity of the best objects", zero: true, series: named(["top_k.diversity", "mean distance of pairs"]) },
    { id: "paid", title: "Objects paid for", zero: true, series: named(["paid", "distinct objects"], ["evaluations", "evaluations"], ["evaluations_saved", "not paid for again"]) },
    { id: "cost", title: "Cost of evaluations", zero: true, series: named(["evaluation_cost", "spent"]) },
  ],
  flow: [
    { id: "rate", title: "Trajectories per second", zero: true, series: named(["trajectories_per_second", "accepted"]) },
    { id: "waiting", title: "Who waits for whom, seconds per second", zero: true, series: (history) => history.waiting },
    { id: "lag", title: "Lag in updates", logarithmic: true, zero: true, series: named(["lag_mean", "mean"], ["lag_max", "largest"]) },
    { id: "actors-here", title: "Actors", zero: true, series: named(["actors", "connected"]) },
    { id: "memory", title: "Memory of the learner, MiB", zero: true, series: named(["memory_mib", "resident"]) },
  ],
};

const cursor = {
  seconds: null,
  move(seconds, text = "") {
    this.seconds = seconds;
    byId("cursor").textContent = text;
    redraw();
  },
};
const charts = Object.entries(CHARTS).flatMap(([place, options]) => options.map((of) => {
  const chart = new LineChart(of, cursor);
  byId(place).insertBefore(chart.figure, byId(place).querySelector(".card:not(.chart)"));
  return chart;
}));

function sources(history) {
  const names = Object.keys(history.series).filter((name) => name.startsWith("loss."));
  return names.length > 1 ? names.map((name) => [name, name.slice(5).replaceAll("_", " ")]) : [];
}

/** Figures that are drawn and not recorded as such. */
function derive(history) {
  const { series, seconds } = history;
  const bytes = series.memory_bytes;
  if (bytes) series.memory_mib = { mean: bytes.mean.map((value) => (value === null ? null : value / 2 ** 20)) };
  const actors = series.actors?.mean ?? [];
  const edges = Object.keys(series).filter((name) => name.startsWith("waited_seconds."));
  // Actors report once a second: over less, the rate would be noise.
  const span = Math.max(10, 2 * history.bucket_seconds);
  const rates = edges.map((name) => {
    const waited = series[name].mean;
    // The first records are made before anybody has said how long he waited.
    let from = Math.max(0, waited.findIndex((value) => value !== null));
    const mean = waited.map((value, i) => {
      while (seconds[i] - seconds[from + 1] >= span) from += 1;
      const [before, time] = [waited[from], seconds[i] - seconds[from]];
      // A learner that goes back to a checkpoint has waited less than before.
      if (value === null || before === null || !(time > 0) || value < before) return null;
      return (value - before) / time / (name.startsWith("waited_seconds.actors.") ? Math.max(1, actors[i] ?? 1) : 1);
    });
    return { edge: name.slice("waited_seconds.".length), mean, most: Math.max(0, ...mean.slice(-60)) };
  });
  history.rates = new Map(rates.map(({ edge, mean }) => [edge, mean.findLast((rate) => rate !== null)]));
  rates.sort((one, other) => other.most - one.most);
  history.waiting = rates.slice(0, 5).map(({ edge, mean }) => {
    series[`waiting ${edge}`] = { mean };
    return [`waiting ${edge}`, edge.replace(".", " for ").replaceAll("_", " ")];
  });
}

/** Seconds waited on each edge during the last minute, over its seconds. */
const looks = [];
function waiting(snapshot) {
  if (looks.at(-1)?.number !== snapshot.number) {
    looks.push({ number: snapshot.number, seconds: snapshot.seconds, waited: snapshot.waited_seconds });
    while (looks.length > 2 && snapshot.seconds - looks[1].seconds > 60) looks.shift();
  }
  const [first] = looks;
  const time = snapshot.seconds - first.seconds;
  const waited = Object.entries(snapshot.waited_seconds).filter(([, seconds]) => seconds > 0);
  const rows = waited.map(([edge, seconds]) => {
    const share = time < 10 ? run.history?.rates?.get(edge) ?? 0 : (seconds - (first.waited[edge] ?? 0)) / time;
    return { edge, seconds, share: Math.max(0, share) };
  });
  return rows.sort((one, other) => other.share - one.share);
}

// Drawing.

let isPlanned = false;
function redraw() {
  if (isPlanned) return;
  isPlanned = true;
  requestAnimationFrame(() => {
    isPlanned = false;
    for (const chart of charts) chart.draw();
    if (!run.history || !run.snapshot || document.documentElement.dataset.drawn) return;
    document.documentElement.dataset.drawn = String(Math.round(performance.now()));
  });
}

function showHistory() {
  derive(run.history);
  for (const chart of charts) chart.set(run.history);
  redraw();
}

function showSnapshot() {
  const { snapshot } = run;
  const { run: of } = snapshot;
  const rows = waiting(snapshot);
  byId("main").hidden = false;
  byId("run-name").textContent = of.name;
  document.title = `${of.name} – Tributary`;
  panels.tiles(snapshot, rows);
  panels.notices(snapshot);
  panels.waits(rows);
  panels.lags(snapshot);
  panels.actors(snapshot);
  panels.best(snapshot);
  panels.rewards(snapshot);
  const modes = [of.durable ? "durable" : null, of.lockstep ? "lockstep" : null].filter(Boolean).map((mode) => `, ${mode}`).join("");
  byId("about").textContent = `Run ${of.id}${modes}. ${of.environment}. ${of.software}, incarnation ${of.incarnation}. Record ${grouped(snapshot.number)} of ${new Date(1000 * snapshot.time).toLocaleString()}.`;
  document.documentElement.dataset.number = String(snapshot.number);
  document.documentElement.dataset.incarnation = String(of.incarnation);
  if (snapshot.distribution_step !== run.distributionStep) loadDistribution(snapshot.distribution_step);
  say();
}

const KINDS = { running: "good", degraded: "bad", stopping: "warn", recovering: "warn" };

/** Says in the head how the run and the connection are. */
function say(problem = null) {
  const state = byId("state");
  const isLive = problem === null;
  if (isLive && run.snapshot) {
    state.textContent = run.snapshot.state;
    state.className = `pill live ${KINDS[run.snapshot.state] ?? ""}`;
  } else if (!isLive) {
    state.textContent = run.isOver ? "over" : "out of reach";
    state.className = `pill ${run.isOver ? "" : "bad"}`;
  }
  const text = problem ?? (run.snapshot ? `live, ${clock(run.snapshot.training_seconds)} of training` : "connected");
  // Once a second is too often for a voice.
  byId("connection").setAttribute("aria-live", isLive ? "off" : "polite");
  byId("connection").textContent = text;
  byId("connection").className = isLive || run.isOver ? "connection" : "connection lost";
}

// What is asked of the learner.

class Refused extends Error {}

async function ask(path, headers = {}, signal = undefined) {
  const authorization = { Authorization: `Bearer ${run.token}` };
  const answer = await fetch(path, { headers: { ...authorization, ...headers }, signal, cache: "no-store" });
  if (answer.status === 401) throw new Refused((await answer.text()).trim());
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

async function loadHistory() {
  const range = byId("range").value;
  const points = Math.min(POINTS, Math.max(240, Math.round(window.innerWidth * 0.7)));
  const answer = await ask(`/api/v1/history?points=${points}${range ? `&seconds=${range}` : ""}`);
  run.history = { ...(await answer.json()), points };
  showHistory();
}

async function loadDistribution(step) {
  run.distributionStep = step;
  if (step === null) return;
  try {
    run.distribution = await (await ask("/api/v1/distribution")).json();
    panels.distribution(run.distribution);
  } catch {
    run.distributionStep = null;
  }
}

/** A record behind the history; when it has become too fine, it is loaded anew. */
function append(record) {
  const { history } = run;
  if (!history || !(record.seconds > (history.seconds.at(-1) ?? -1))) return;
  if (history.seconds.length > 1.5 * history.points) {
    if (!history.isLoading) loadHistory().catch(() => { history.isLoading = false; });
    history.isLoading = true;
    return;
  }
  const length = history.seconds.length;
  history.seconds.push(record.seconds);
  history.time.push(record.time);
  for (const name of Object.keys(record.values)) history.series[name] ??= { mean: Array(length).fill(null) };
  for (const [name, column] of Object.entries(history.series)) {
    const value = record.values[name] ?? null;
    column.mean.push(value);
    column.min?.push(value);
    column.max?.push(value);
  }
  const from = byId("range").value ? record.seconds - Number(byId("range").value) : 0;
  const old = history.seconds.findIndex((seconds) => seconds >= from);
  if (old > 60) {
    for (const list of [history.seconds, history.time]) list.splice(0, old);
    for (const column of Object.values(history.series)) for (const list of Object.values(column)) list.splice(0, old);
  }
  history.isChanged = true;
}

async function take({ event, data, id }) {
  if (id) run.lastEvent = id;
  const told = JSON.parse(data);
  if (event === "hello") {
    if (run.id !== null && run.id !== told.run_id) return location.reload();
    const isNew = run.incarnation !== told.incarnation;
    [run.id, run.incarnation, run.isOver] = [told.run_id, told.incarnation, false];
    if (isNew || !run.history) {
      run.distributionStep = null;
      looks.length = 0;
      await loadHistory();
    }
  } else if (event === "history") {
    await loadHistory();
  } else if (event === "record") {
    append(told);
  } else if (event === "snapshot") {
    run.snapshot = told;
    showSnapshot();
    if (run.history?.isChanged) showHistory();
    else redraw();
  } else if (event === "end") {
    run.isOver = true;
  }
  return undefined;
}

/** Reads server-sent events until they end. */
async function follow() {
  connection = new AbortController();
  const { signal } = connection;
  let silence;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => connection.abort(), SILENCE);
  };
  heard();
  try {
    const answer = await ask("/api/v1/events", run.lastEvent ? { "Last-Event-ID": run.lastEvent } : {}, signal);
    byId("unlock").hidden = true;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s)).filter(([name]) => name));
        if (fields.event) await take(fields);
      }
    }
  } finally {
    clearTimeout(silence);
  }
}

const pause = (time) => new Promise((resolve) => { setTimeout(resolve, time); });

async function live() {
  let wait = SOONEST;
  for (;;) {
    const start = performance.now();
    try {
      await follow();
    } catch (error) {
      if (error instanceof Refused) return unlock(run.token ? error.message : "");
    }
    if (performance.now() - start > 2 * LATEST) wait = SOONEST;
    say(run.isOver ? "The run's learner has ended; these are its last figures." : "The learner is out of reach; trying again. These are the last figures.");
    await pause(wait * (0.75 + Math.random() / 2));
    wait = Math.min(LATEST, 1.5 * wait);
  }
}

// The token: from the address that the program prints, or typed; kept for this tab only.

const KEY = "tributary-token";

function unlock(problem) {
  sessionStorage.removeItem(KEY);
  say("waiting for the token");
  byId("state").textContent = "locked";
  byId("unlock").hidden = false;
  byId("main").hidden = true;
  byId("unlock-problem").textContent = problem;
  byId("token").focus();
}

byId("unlock-form").addEventListener("submit", (event) => {
  event.preventDefault();
  open(byId("token").value.trim());
  byId("token").value = "";
});

function open(token) {
  run.token = token;
  if (!token) return unlock("");
  sessionStorage.setItem(KEY, token);
  return live();
}

// What the reader chooses.

function theme(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
  const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  byId("theme").textContent = isDark ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", isDark ? "Light colours" : "Dark colours");
  forgetColours();
  if (run.distribution) panels.distribution(run.distribution);
  redraw();
}

byId("theme").addEventListener("click", () => {
  const next = byId("theme").textContent.toLowerCase();
  localStorage.setItem("tributary-theme", next);
  theme(next);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(localStorage.getItem("tributary-theme")));
byId("range").addEventListener("change", () => loadHistory().catch(() => connection.abort()));
new ResizeObserver(redraw).observe(document.body);

theme(localStorage.getItem("tributary-theme"));
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) history.replaceState(null, "", location.pathname);
open(given ?? sessionStorage.getItem(KEY));
