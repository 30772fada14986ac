"use strict";
// The token is in the fragment, which browsers do not send, and leaves the address at once.
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let span = "tenMinutes",
  drawn = 0;

function make(tag, text, attributes) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  return node;
}
function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
function bytes(n) {
  if (n === null || n === undefined) return "unknown";
  const mib = n / 1048576;
  if (n === 0) return "0 MiB";
  if (mib >= 1024) return (mib / 1024).toFixed(2) + " GiB";
  return (mib >= 100 ? mib.toFixed(0) : mib.toFixed(1)) + " MiB";
}
async function ask(path, options) {
  const answer = await fetch("api/v1/" + path, options);
  if (!answer.ok) throw new Error(answer.status + " " + (await answer.text()));
  return answer.status === 204 ? null : answer.json();
}
function row(cells, numeric) {
  const line = make("tr");
  cells.forEach((text, at) =>
    line.append(
      at
        ? make("td", text, numeric.includes(at) ? { class: "n" } : {})
        : make("th", text, { scope: "row" }),
    ),
  );
  return line;
}
function leak(part) {
  const finding = part.leak,
    meetings = part.meetingLeak.verdict === "none" ? "" : "; " + part.meetingLeak.evidence;
  if (finding.rateMbPerHour === null) return "too early to judge" + meetings;
  if (finding.verdict === "none") return "none seen" + meetings;
  const [low, high] = finding.rateIntervalMbPerHour,
    kept = finding.cause === "fragmentation" ? ", fragmentation" : "";
  const [rate, from, to] = [finding.rateMbPerHour, low, high].map((mb) => mb.toFixed(0));
  return `${finding.verdict}: ${rate} MB/h (${from} to ${to})${kept}${meetings}`;
}
// Composition of the figures on this system.
const BASIS = {
  anonShmemSwap: "Memory is private memory: anonymous, shared and swapped.",
  residentLessShared: "Memory is estimated: resident pages without shared ones, and swap.",
  resident:
    "Memory is estimated: this system reports resident memory only, which misses compressed pages.",
  privateCommit: "Memory is private commit: what this system has promised, touched or not.",
};
function show(state) {
  const usage = state.usage,
    level = $("level");
  if (level.dataset.level !== usage.memoryPressureLevel || level.textContent === "…") {
    level.textContent = usage.memoryPressureLevel + " pressure";
    level.dataset.level = usage.memoryPressureLevel;
    // Visible on the tab while another page is in front.
    document.title =
      (usage.memoryPressureLevel === "Low" || usage.memoryPressureLevel === "Unknown"
        ? ""
        : usage.memoryPressureLevel + " · ") + "Memory";
  }
  $("reason").textContent = usage.memoryPressureReason || "nothing is short";
  $("figures").replaceChildren(
    ...[
      [
        "The app holds",
        bytes(usage.meetilyTotalUsage) +
          (usage.budget === null ? "" : ` of a budget of ${bytes(usage.budget)}`),
      ],
      ["Available", `${bytes(usage.availableMemory)} of ${bytes(usage.totalSystemMemory)}`],
      ["Swapped", bytes(usage.swapUsage)],
    ].map(([name, value]) => {
      const box = make("div");
      box.append(make("dt", name), make("dd", value));
      return box;
    }),
  );
  $("parts").tBodies[0].replaceChildren(
    ...usage.componentBreakdown.map((part) =>
      row(
        [
          part.component + (part.estimated ? " (estimated)" : ""),
          bytes(part.currentUsage),
          bytes(part.peakUsage),
          bytes(part.averageUsage),
          part.memoryTrend,
          bytes(part.reclaimable),
          part.processes ? bytes(part.proportional) : "none",
          String(part.processes),
          leak(part),
        ],
        [1, 2, 3, 5, 6, 7],
      ),
    ),
  );
  $("basis").textContent = BASIS[usage.basis] || "No memory can be read.";
  $("notes").replaceChildren(...usage.reasons.map((reason) => make("li", reason)));
  showAlerts(state.alerts, state.recovered);
  showModels(state.models);
  showPipelines(state.pipelines);
}
// Drawings are as wide as their place, so that their text keeps its size.
function pixels(place) {
  return Math.max(280, Math.round(place.getBoundingClientRect().width));
}
// One bar of parts that lie side by side, `whole` bytes long in all.
function bar(parts, whole, caption, W) {
  const H = 26,
    drawing = shape("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": caption });
  let from = 0;
  parts.forEach(([name, size], at) => {
    const width = (size / Math.max(whole, 1)) * W,
      part = shape("rect", { class: `area k${at % 6}`, x: from, y: 0, width, height: H });
    const title = shape("title", {});
    title.textContent = name + ": " + bytes(size);
    part.append(title);
    drawing.append(part);
    if (width > 9 * (name.length + 2)) {
      const label = shape("text", { x: from + 6, y: 18 });
      label.textContent = name;
      drawing.append(label);
    }
    if (from > 0) drawing.append(shape("line", { class: "cut", x1: from, x2: from, y1: 0, y2: H }));
    from += width;
  });
  return drawing;
}
function showModels(models) {
  const size = (model) => (model.ramBytes || 0) + (model.gpuBytes || 0),
    most = Math.max(...models.map(size), 1);
  $("no-models").hidden = models.length > 0;
  $("models").hidden = models.length === 0;
  $("model-bars").replaceChildren(
    ...models.filter(size).map((model) => {
      const parts = [
        ["RAM", model.ramBytes || 0],
        ["GPU", model.gpuBytes || 0],
      ].filter((part) => part[1] > 0);
      const figure = make("figure"),
        name = make("figcaption", `${model.name}: ${bytes(size(model))}`);
      figure.append(
        name,
        bar(
          parts,
          most,
          `${model.name}: ` +
            parts.map(([n, s]) => `${bytes(s)} ${n === "GPU" ? "on the" : "in"} ${n}`).join(", "),
          pixels($("model-bars")),
        ),
      );
      return figure;
    }),
  );
  const works = (model) => (model.busy === null ? "unknown" : model.busy ? "working" : "idle");
  // Models that are never unloaded have a time some centuries away.
  const unloads = (model) =>
    model.unloadUnixMs === null
      ? "unknown"
      : model.unloadUnixMs > Date.now() + 3e10
        ? "never"
        : new Date(model.unloadUnixMs).toLocaleTimeString();
  const count = (n) => (n === null ? "unknown" : n.toLocaleString());
  $("models").tBodies[0].replaceChildren(
    ...models.map((model) =>
      row(
        [
          model.name,
          model.component,
          bytes(model.ramBytes),
          bytes(model.gpuBytes),
          count(model.contextTokens),
          works(model),
          unloads(model),
        ],
        [2, 3, 4],
      ),
    ),
  );
}
// The monitor's own gauges belong to no pipeline.
function showPipelines(all) {
  const pipes = all.filter((pipe) => pipe.component !== "Monitor");
  const value = (gauge) =>
    gauge.unit === "ratio"
      ? gauge.value.toFixed(3)
      : gauge.unit === "count"
        ? String(gauge.value)
        : bytes(gauge.value);
  const word = (gauge) => gauge.name.replaceAll("_", " ");
  const name = (pipe, at) =>
    pipe.component +
    (pipes.filter((other) => other.component === pipe.component).length > 1 ? " " + (at + 1) : "");
  $("no-pipes").hidden = pipes.length > 0;
  $("pipes").hidden = pipes.length === 0;
  $("pipe-bars").replaceChildren(
    ...pipes.map((pipe, at) => {
      const held = pipe.gauges
        .filter((gauge) => gauge.unit === "heldBytes")
        .map((gauge) => [word(gauge), gauge.value]);
      const sum = held.reduce((all, part) => all + part[1], 0),
        rest = pipe.gauges.filter((gauge) => gauge.unit !== "heldBytes" && gauge.unit !== "bytes");
      const figure = make("figure"),
        caption = `${name(pipe, at)} holds ${bytes(sum)}`;
      figure.append(
        make(
          "figcaption",
          [caption, ...rest.map((gauge) => `${word(gauge)} ${value(gauge)}`)].join(" · "),
        ),
      );
      if (sum > 0)
        figure.append(
          bar(
            held,
            sum,
            caption + ": " + held.map(([n, s]) => `${n} ${bytes(s)}`).join(", "),
            pixels($("pipe-bars")),
          ),
        );
      return figure;
    }),
  );
  $("pipes").tBodies[0].replaceChildren(
    ...pipes.flatMap((pipe, at) =>
      pipe.gauges.map((gauge) => row([name(pipe, at), word(gauge), value(gauge)], [2])),
    ),
  );
}
function sentence(text) {
  return text && text + ".";
}
function showAlerts(open, recovered) {
  const before = recovered.map((notice) => ({
    severity: notice.severity,
    kind: notice.key.kind,
    component: notice.key.component || "System",
    message: notice.facts.reason,
    done: notice.facts.done,
    recommendation: notice.facts.advice,
    timestamp: notice.unixMs,
    autoResolved: false,
    acknowledged: false,
    before: true,
  }));
  const alerts = [...before, ...open];
  const urgent = alerts.filter(
    (alert) => alert.severity === "Critical" && !alert.acknowledged && !alert.autoResolved,
  );
  const caption = urgent
    .map(
      (alert) =>
        `Critical · ${alert.component}: ` +
        `${sentence(alert.message)} ${sentence(alert.recommendation)}`,
    )
    .join(" ");
  // Set only when it changes, because screen readers announce each change.
  if ($("urgent").textContent !== caption) $("urgent").textContent = caption;
  const focused = document.activeElement && document.activeElement.dataset.key;
  $("alerts").replaceChildren(...(alerts.length ? alerts.map(alertItem) : [make("li", "None.")]));
  if (focused) {
    const again = document.querySelector(`[data-key="${focused}"]`);
    if (again) again.focus();
  }
}
function alertItem(alert) {
  const item = make("li", undefined, { "data-severity": alert.severity }),
    text = make("div"),
    since = new Date(alert.timestamp);
  const when = alert.before
    ? `of ${since.toLocaleString()}, before the last start, not acknowledged`
    : "since " + since.toLocaleTimeString();
  text.append(
    make("p", `${alert.severity} · ${alert.component}: ${alert.message}`, { class: "what" }),
    make(
      "p",
      (alert.done ? "Done: " + sentence(alert.done) + " " : "") + sentence(alert.recommendation),
    ),
    make(
      "p",
      when + (alert.autoResolved ? ", ending" : "") + (alert.acknowledged ? ", acknowledged" : ""),
      { class: "soft" },
    ),
  );
  item.append(text);
  if (!alert.acknowledged) {
    const key = (alert.before ? "before-" : "") + alert.kind + "-" + alert.component;
    const button = make("button", "Acknowledge", {
      "data-key": key,
      "aria-label": `Acknowledge: ${alert.component}, ${alert.kind}`,
    });
    button.addEventListener("click", async () => {
      const component = alert.component === "System" ? null : alert.component;
      await ask("alerts/acknowledge", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ kind: alert.kind, component }),
      }).catch(() => {});
      await refresh();
    });
    item.append(button);
  }
  return item;
}
async function refresh() {
  await ask("state")
    .then(show)
    .catch(() => {});
}
// Steps of 1, 2, 2.5 or 5 that divide an axis in two to four parts.
function rules(top) {
  const unit = top >= 2 * 1073741824 ? 1073741824 : 1048576,
    raw = top / unit / 4,
    power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((n) => n * power >= raw) * power * unit,
    all = [];
  for (let at = 0; at <= top; at += step)
    all.push([at, `${+(at / unit).toFixed(2)} ${unit > 1048576 ? "GiB" : "MiB"}`]);
  return all;
}
// Between two points that are further apart than samples can be, nothing was measured.
function pieces(times) {
  const steps = times
      .slice(1)
      .map((t, at) => t - times[at])
      .sort((a, b) => a - b),
    longest = 4 * Math.max(steps[steps.length >> 1], 10e3),
    all = [[]];
  times.forEach((t, at) => {
    if (at && t - times[at - 1] > longest) all.push([]);
    all[all.length - 1].push(at);
  });
  return all;
}
async function draw() {
  const asked = span,
    courses = await ask("history?span=" + asked);
  if (asked !== span) return;
  const parts = courses.filter((course) => course.name !== "Total" && course.name !== "Available");
  // A time at which a component was unknown has no sum: it is a gap.
  const known = parts.map((part) => new Set(part.points.map((p) => p.steadyMs)));
  const isKnown = (point) => known.every((set) => set.has(point.steadyMs));
  parts.forEach((part) => {
    part.points = part.points.filter(isKnown);
  });
  const times = parts[0].points.map((p) => p.steadyMs);
  const chart = $("chart"),
    W = pixels(chart.parentElement),
    H = 300,
    left = 70,
    bottom = 24,
    head = 10,
    end = times[times.length - 1],
    begin = times[0];
  chart.setAttribute("viewBox", `0 0 ${W} ${H}`);
  chart.replaceChildren(chart.querySelector("title"));
  if (times.length < 2) {
    const note = shape("text", { x: W / 2, y: H / 2, "text-anchor": "middle" });
    note.textContent = "A line needs two samples in this span; it will appear by itself.";
    return chart.append(note);
  }
  const sums = times.map((_, at) => parts.reduce((sum, part) => sum + part.points[at].maxBytes, 0)),
    top = Math.max(...sums, 1048576) * 1.05;
  const x = (ms) => left + ((ms - begin) / (end - begin)) * (W - left),
    y = (n) => head + (H - bottom - head) * (1 - n / top);
  for (const [amount, caption] of rules(top)) {
    chart.append(shape("line", { class: "rule", x1: left, x2: W, y1: y(amount), y2: y(amount) }));
    const label = shape("text", { x: left - 8, y: y(amount) + 4, "text-anchor": "end" });
    label.textContent = caption;
    chart.append(label);
  }
  const ago = (ms) =>
    ms < 90e3
      ? Math.round(ms / 1e3) + " s"
      : ms < 5400e3
        ? Math.round(ms / 60e3) + " min"
        : ms < 129600e3
          ? (ms / 3600e3).toFixed(1) + " h"
          : (ms / 86400e3).toFixed(1) + " d";
  const steps = end - begin < 8e3 ? 1 : W < 600 ? 2 : 4;
  for (let at = 0; at <= steps; at += 1) {
    const ms = end - ((end - begin) * (steps - at)) / steps,
      anchor = at === 0 ? "start" : at === steps ? "end" : "middle";
    chart.append(
      shape("line", { class: "rule", x1: x(ms), x2: x(ms), y1: H - bottom, y2: H - bottom + 5 }),
    );
    const label = shape("text", { x: x(ms), y: H - 5, "text-anchor": anchor });
    label.textContent = at === steps ? "now" : ago(end - ms) + " ago";
    chart.append(label);
  }
  let floor = times.map(() => 0);
  parts.forEach((part, kind) => {
    const roof = floor.map((base, at) => base + part.points[at].maxBytes);
    if (part.points.some((p) => p.maxBytes > 0)) {
      const point = (line, at) => x(times[at]).toFixed(1) + " " + y(line[at]).toFixed(1);
      const edges = pieces(times).map(
        (piece) => "M" + piece.map((at) => point(roof, at)).join("L"),
      );
      const areas = pieces(times).map(
        (piece, n) =>
          edges[n] +
          "L" +
          piece
            .map((at) => point(floor, at))
            .reverse()
            .join("L") +
          "Z",
      );
      chart.append(
        shape("path", { class: `area k${kind}`, d: areas.join("") }),
        shape("path", { class: `edge k${kind}`, d: edges.join("") }),
      );
    }
    floor = roof;
  });
  $("legend").replaceChildren(
    ...parts.map((part, kind) => {
      const item = make("li"),
        key = shape("svg", { viewBox: "0 0 32 12", "aria-hidden": "true" });
      key.append(shape("path", { class: `edge k${kind}`, d: "M0 6L32 6" }));
      item.append(key, part.name);
      return item;
    }),
  );
  table(parts, times, end, ago);
}
// At most 60 rows, which a reader can go through.
function table(parts, times, end, ago) {
  const step = Math.ceil(times.length / 60),
    head = make("tr");
  head.append(
    make("th", "Time", { scope: "col" }),
    ...parts.map((part) => make("th", part.name, { scope: "col", class: "n" })),
  );
  $("course").tHead.replaceChildren(head);
  $("course").tBodies[0].replaceChildren(
    ...times
      .map((t, at) => at)
      .filter((at) => at % step === 0)
      .map((at) =>
        row(
          [
            times[at] === end ? "now" : ago(end - times[at]) + " ago",
            ...parts.map((part) => bytes(part.points[at].maxBytes)),
          ],
          parts.map((_, n) => n + 1),
        ),
      ),
  );
}
function listen() {
  const events = new EventSource("api/v1/stream");
  events.addEventListener("state", (event) => {
    $("link").textContent = "live";
    show(JSON.parse(event.data));
    // The chart's finest step is a second, so a fast monitor would draw the same again.
    if (Date.now() - drawn > 2000) {
      drawn = Date.now();
      draw().catch(() => {});
    }
  });
  events.addEventListener("alert", refresh);
  events.onerror = () => {
    $("link").textContent = "not connected; trying again";
    // A browser gives up on an answer that is not a stream, so this tries again.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}
async function start() {
  const token = new URLSearchParams(location.hash.slice(1)).get("t");
  if (token) {
    history.replaceState(null, "", location.pathname);
    await ask("session", { method: "POST", headers: { Authorization: "Bearer " + token } });
  }
  document.querySelectorAll("[data-span]").forEach((button) =>
    button.addEventListener("click", () => {
      span = button.dataset.span;
      document
        .querySelectorAll("[data-span]")
        .forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      draw().catch(() => {});
    }),
  );
  addEventListener("resize", () => draw().catch(() => {}));
  listen();
}
start().catch((error) => {
  $("link").textContent = "open the address that the program printed (" + error.message + ")";
});
