// Everything on the page that is drawn from the snapshot: tiles, tables, bars and heat maps.

import { clock, colour, element, grouped, significant, table } from "/charts.js";

const byId = (id) => document.getElementById(id);
const small = (text) => element("span", { class: "small" }, text);
const words = (name) => name.replace(".", " for ").replaceAll("_", " ");

/** Shows parts in a place, and hides it where there are none. */
function fill(id, parts) {
  const place = byId(id);
  place.hidden = parts.length === 0;
  const nodes = parts.map((part) => (typeof part === "string" ? document.createTextNode(part) : part));
  const isSame = nodes.length === place.childNodes.length && nodes.every((node, i) => node.isEqualNode(place.childNodes[i]));
  // What is marked to be copied stays until it is copied.
  const marked = getSelection();
  if (isSame || (!marked.isCollapsed && place.contains(marked.anchorNode))) return;
  place.replaceChildren(...nodes);
}

function tile(label, value, more = "", share = null) {
  const rest = [element("div", { class: "value", "data-figure": label }, value)];
  if (more) rest.push(element("div", { class: "more" }, more));
  if (share !== null) rest.push(element("progress", { max: "1", value: String(Math.min(1, share)), "aria-label": `${label}, share of the goal` }));
  return element("div", { class: "tile" }, element("dt", {}, label), element("dd", {}, ...rest));
}

function pill(text, kind = "") {
  return element("span", { class: `pill ${kind}` }, text);
}

/** A counter with its goal, and when that is reached at the present rate. */
function counter(label, done, goal, rate) {
  if (!goal) return tile(label, grouped(done));
  const left = rate > 0 && done < goal ? `, ${clock((goal - done) / rate)} to go` : "";
  return tile(label, grouped(done), `of ${grouped(goal)}${left}`, done / goal);
}

export function tiles(snapshot, waiting) {
  const { values, run, actors_by_state: states } = snapshot;
  const { goals } = run;
  const per = snapshot.training_seconds > 0 ? 1 / snapshot.training_seconds : 0;
  const made = [
    counter("trajectories", values.generated ?? 0, goals.generated, values.trajectories_per_second),
    tile("trajectories/s", significant(values.trajectories_per_second)),
    counter("updates", values.updates ?? 0, goals.updates, (values.updates ?? 0) * per),
    counter("objects paid for", values.paid ?? 0, goals.paid, (values.paid ?? 0) * per),
    tile("loss", significant(values.loss)),
    tile("log Z", significant(values.log_z, 5), values.log_z_target === undefined ? "" : `target ${significant(values.log_z_target, 5)}`),
  ];
  if (values.total_variation !== undefined) {
    made.push(tile("total variation", significant(values.total_variation), `exact, after ${grouped(values.exact_generated)} trajectories`));
  } else if (values["test_set.spearman"] !== undefined) {
    const [low, high] = [values["test_set.spearman_low"], values["test_set.spearman_high"]];
    made.push(tile("Spearman, test set", significant(values["test_set.spearman"], 3), `${significant(low, 3)} to ${significant(high, 3)}`));
  }
  if (values["modes.found"] !== undefined) made.push(tile("modes found", `${grouped(values["modes.found"])} of ${grouped(values["modes.known"])}`));
  if (values["top_k.mean_log_reward"] !== undefined) {
    const apart = values["top_k.diversity"] === undefined ? "" : `, ${significant(values["top_k.diversity"], 3)} apart`;
    made.push(tile(`best ${grouped(values["top_k.count"])}, log R`, significant(values["top_k.mean_log_reward"]), `mean${apart}`));
  }
  made.push(tile("lag", significant(values.lag_mean), `updates, ${grouped(values.lag_max)} at most`));
  const here = Object.entries(states).filter(([state]) => !["lost", "gone"].includes(state));
  made.push(tile("actors", grouped(here.reduce((sum, [, count]) => sum + count, 0)), here.map(([state, count]) => `${grouped(count)} ${state}`).join(", ")));
  if (goals.evaluations) made.push(counter("evaluations", values.evaluations ?? 0, goals.evaluations, (values.evaluations ?? 0) * per));
  if (goals.cost) made.push(counter("cost of evaluations", values.evaluation_cost ?? 0, goals.cost, (values.evaluation_cost ?? 0) * per));
  if (goals.seconds) made.push(counter("seconds of training", snapshot.training_seconds, goals.seconds, 1));
  else made.push(tile("time of training", clock(snapshot.training_seconds)));
  fill("tiles", made);
  bottleneck(snapshot, waiting);
}

/** One line on what holds the run back. */
function bottleneck(snapshot, waiting) {
  const [most] = waiting;
  if (snapshot.bottleneck) {
    fill("bottleneck", [element("strong", {}, "Bottleneck: "), snapshot.bottleneck]);
  } else if (most && most.share >= 0.05) {
    const share = `${Math.round(100 * Math.min(1, most.share))} % of the last minute`;
    fill("bottleneck", [element("strong", {}, "Waiting most: "), `${words(most.edge)}, ${share}`]);
  } else {
    fill("bottleneck", ["Nobody waits for long."]);
  }
}

export function notices(snapshot) {
  const texts = [
    ...snapshot.stalls.map((stall) => [`Stalled for ${clock(stall.seconds)}, ${words(stall.edge)}: ${stall.reason}`, stall.blocking]),
    ...(snapshot.ledger.trouble ? [[`The ledger is not written now: ${snapshot.ledger.trouble}`, true]] : []),
    ...snapshot.warnings.map((warning) => [warning, false]),
  ];
  const text = JSON.stringify(texts);
  // A notice that stays is not told again.
  if (byId("notices").dataset.shown === text) return;
  byId("notices").dataset.shown = text;
  byId("notices").replaceChildren(...texts.map(([notice, isBad]) => element("p", { class: isBad ? "notice bad" : "notice", role: "status" }, notice)));
}

export function waits(waiting) {
  const cell = ({ edge, share }) => {
    const bar = element("span", { class: edge.startsWith("actors.") ? "bar" : "bar own", "aria-hidden": "true" });
    bar.style.width = `${(100 * Math.min(1, share)).toFixed(1)}%`;
    return bar;
  };
  const rows = waiting.map((of) => [words(of.edge), `${(100 * of.share).toFixed(1)} %`, significant(of.seconds), cell(of)]);
  fill("waits", rows.length === 0 ? [] : [
    table("Who waits for whom, share of the last minute", ["Who for what", "Share", "Seconds in all", ""], rows, ["", "", "less", "bar-cell"]),
    element("p", { class: "note" }, "Of actors the mean of those that report, all their threads together."),
  ]);
}

export function lags(snapshot) {
  const total = snapshot.lags.reduce((sum, bin) => sum + bin.count, 0);
  const most = Math.max(...snapshot.lags.map((bin) => bin.count), 1);
  const rows = snapshot.lags.map(({ from, to, count }) => {
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${((100 * count) / most).toFixed(1)}%`;
    const name = from === to ? grouped(from) : `${grouped(from)} to ${grouped(to)}`;
    return [name, `${((100 * count) / total).toFixed(1)} %`, grouped(count), bar];
  });
  fill("lags", total === 0 ? [] : [
    table("Lag: updates between a path's weights and its training", ["Updates", "Share", "Samples", ""], rows, ["", "", "less", "bar-cell"]),
  ]);
}

const STATES = { streaming: "good", backpressured: "good", connecting: "", draining: "", suspect: "warn", lost: "bad", gone: "" };

export function actors(snapshot) {
  const total = Object.values(snapshot.actors_by_state).reduce((sum, count) => sum + count, 0);
  const counts = Object.entries(snapshot.actors_by_state).map(([state, count]) => `${grouped(count)} ${state}`);
  const shown = total > snapshot.actors.length ? ` The first ${grouped(snapshot.actors.length)} are shown.` : "";
  byId("actor-counts").textContent = total === 0 ? "No actor has come yet." : `${counts.join(", ")}.${shown}`;
  const accepted = snapshot.actors.reduce((sum, actor) => sum + actor.accepted, 0);
  const rows = snapshot.actors.map((actor) => {
    const name = element("span", {}, actor.name, small(`${actor.id} on ${actor.host}, process ${actor.process}`));
    if (actor.reward_trouble) name.append(element("span", { class: "small trouble" }, `No rewards: ${actor.reward_trouble}`));
    const failures = Object.entries(actor.reward_failures).map(([kind, count]) => `${grouped(count)} ${kind}`);
    if (failures.length > 0) name.append(small(`failed: ${failures.join(", ")}`));
    const [wait] = Object.entries(actor.waited_seconds).sort((one, other) => other[1] - one[1]);
    const behind = actor.policy_step === null ? "–" : grouped(Math.max(0, snapshot.step - actor.policy_step));
    const cost = actor.evaluations > 0 ? seconds(actor.evaluation_seconds / actor.evaluations) : "–";
    const share = accepted > 0 ? `${((100 * actor.accepted) / accepted).toFixed(1)} %` : "–";
    return [
      name, pill(actor.state, STATES[actor.state] ?? ""), significant(actor.trajectories_per_second), grouped(actor.accepted), share,
      grouped(actor.rejected), grouped(actor.unacked), behind, cost, wait && wait[1] > 0 ? `${wait[0]} ${clock(wait[1])}` : "–", `${clock(actor.silent_seconds)}`,
    ];
  });
  const head = ["Actor", "State", "Trajectories/s", "Accepted", "Yield", "Rejected", "Unacked", "Updates behind", "Per reward", "Waited most for", "Silent"];
  const less = "less";
  fill("actors", rows.length === 0 ? [] : [table("Actors", head, rows, ["", "text", "", "", less, less, less, less, less, less, less])]);
}

function seconds(value) {
  if (value < 1e-3) return `${significant(1e6 * value, 3)} µs`;
  return value < 1 ? `${significant(1e3 * value, 3)} ms` : `${significant(value, 3)} s`;
}

export function best(snapshot) {
  byId("best-card").hidden = snapshot.best.length === 0;
  const rows = snapshot.best.map(({ object, log_reward: reward, nearest }, i) => [
    String(i + 1), element("span", { class: "object" }, object), significant(reward), nearest === null ? "–" : significant(nearest, 3),
  ]);
  if (rows.length > 0) {
    fill("best", [table("Best objects so far, and how far the nearest better one is", ["", "Object", "log R", "Nearest"], rows, ["", "text", "", ""])]);
  }
}

export function rewards(snapshot) {
  const { rewards: of, books, rejected, yields, ledger, checkpoints } = snapshot;
  const rows = [["Objects measured", grouped(of.paid)], ["Trajectories to objects known before", grouped(of.known)]];
  if (of.paid + of.known > 0) rows.push(["Share that needed no new value", `${((100 * of.known) / (of.paid + of.known)).toFixed(1)} %`]);
  if (of.claims) {
    const asked = of.claims.hits + of.claims.grants;
    rows.push(["Values that the ledger had for actors", grouped(of.claims.hits)]);
    if (asked > 0) rows.push(["Ledger hits", `${((100 * of.claims.hits) / asked).toFixed(1)} %`]);
  }
  if (snapshot.values.evaluations !== undefined) {
    rows.push(["Evaluations of the run", grouped(snapshot.values.evaluations)], ["Seconds for all of them", significant(snapshot.values.evaluation_seconds)]);
    rows.push(["What they cost", significant(snapshot.values.evaluation_cost)], ["Values that were not paid for again", grouped(snapshot.values.evaluations_saved)]);
  }
  if (of.evaluations > 0) {
    rows.push(["Evaluations by these actors", grouped(of.evaluations)], ["Seconds for them", significant(of.evaluation_seconds)]);
    rows.push(["Mean cost of a reward", seconds(of.evaluation_seconds / of.evaluations)]);
  }
  if (of.failures > 0) rows.push(["Failed requests", grouped(of.failures)]);
  rows.push(["Commits to the ledger", grouped(ledger.commits)]);
  if (ledger.failures > 0) rows.push(["Commits that failed", grouped(ledger.failures)]);
  rows.push(["Checkpoints since the start", grouped(checkpoints.written)]);
  if (checkpoints.failures > 0) rows.push(["Checkpoints that failed", grouped(checkpoints.failures)]);
  fill("rewards", [table("Cost of rewards", ["What", "Count"], rows)]);
  const reasons = Object.entries(rejected).sort((one, other) => other[1] - one[1]);
  fill("rejected", [reasons.length === 0 ? element("p", { class: "note" }, "No trajectory was rejected.")
    : table("Rejected trajectories", ["Reason", "Count"], reasons.map(([reason, count]) => [words(reason), grouped(count)]))]);
  const yielded = yields.flatMap((row) => [[row.exploration, row], ...Object.entries(row.kinds).map(([kind, found]) => [`– ${words(kind)}`, found])]);
  const hasGood = yields.some((row) => row.good_objects !== undefined);
  const cells = ([name, found]) => {
    const share = found.generated > 0 ? `${((100 * found.objects) / found.generated).toFixed(1)} %` : "–";
    return [name, grouped(found.generated), grouped(found.objects), share, ...(hasGood ? [grouped(found.good_objects)] : [])];
  };
  fill("yields", yielded.length === 0 ? [] : [table(
    "What exploration brings", ["Setting", "Trajectories", "New objects", "Yield", ...(hasGood ? ["Good"] : [])], yielded.map(cells),
  )]);
  const names = ["received", "accepted", "duplicate", "rejected", "pending", "resident", "evicted", "merged", "lost_in_restart", "waiting"];
  fill("books", [table("Where all records went", ["Account", "Records"], names.map((name) => [words(name), grouped(books[name])]))]);
}

/** Between colours of the style sheet, for shares from 0 to 1. */
function ramp(names) {
  const stops = names.map((name) => colour(name).match(/[\d.]+/g).slice(0, 3).map(Number));
  return (share) => {
    const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
    const from = Math.min(stops.length - 2, Math.floor(place));
    return stops[from].map((value, i) => value + (stops[from + 1][i] - value) * (place - from));
  };
}

function paint(canvas, width, height, at) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i += 1) image.data.set([...at(i), 255], 4 * i);
  context.putImageData(image, 0, 0);
}

/** The target, what was learned, and the difference, cell by cell. */
export function distribution(shown) {
  byId("distribution").hidden = !shown;
  if (!shown) return;
  const { side, target, learned, dimensions, step } = shown;
  const high = Math.max(...target, ...learned);
  const gaps = learned.map((share, i) => share - target[i]);
  const gap = Math.max(...gaps.map(Math.abs), Number.MIN_VALUE);
  const heat = ramp(["--heat-low", "--heat-mid", "--heat-high"]);
  const difference = ramp(["--c1", "--diff-zero", "--c0"]);
  // The first coordinate goes to the right, the second up.
  const cell = (i) => (i % side) * side + (side - 1 - Math.floor(i / side));
  const distance = gaps.reduce((sum, share) => sum + Math.abs(share), 0) / 2;
  const maps = [
    ["Target", (i) => heat(target[cell(i)] / high), `Target distribution of ${side} by ${side} cells, at most ${significant(high, 3)}`],
    ["Learned", (i) => heat(learned[cell(i)] / high), `Learned distribution in the same colours, at most ${significant(Math.max(...learned), 3)}; total variation ${significant(distance, 3)} from the target`],
    ["Learned – target", (i) => difference(0.5 + gaps[cell(i)] / gap / 2), `Difference: too rare is the one colour, too frequent the other; at most ${significant(gap, 3)}`],
  ];
  const figures = maps.map(([title, at, label]) => {
    const canvas = element("canvas", { role: "img", "aria-label": label });
    paint(canvas, side, side, at);
    return element("figure", {}, element("figcaption", {}, element("h3", {}, title)), canvas);
  });
  byId("maps").replaceChildren(...figures);
  paint(byId("scale"), 256, 1, (i) => heat(i / 255));
  byId("scale-high").textContent = significant(high, 3);
  const summed = dimensions > 2 ? ` The first two of ${dimensions} coordinates; the others are summed over.` : "";
  byId("distribution-text").textContent = `Exact, of the averaged weights after ${grouped(step)} updates; total variation ${significant(distance)}. The first coordinate goes to the right, the second up. Orange cells are drawn too rarely, blue ones too often, by ${significant(gap, 2)} at most.${summed}`;
  const places = target.map((_, i) => i).sort((one, other) => target[other] - target[one]).slice(0, 16);
  const rows = places.map((i) => [`${Math.floor(i / side)}, ${i % side}`, significant(target[i], 3), significant(learned[i], 3)]);
  byId("cells").lastElementChild.replaceChildren(table("The likeliest cells of the target", ["Cell", "Target", "Learned"], rows));
}
