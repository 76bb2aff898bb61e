// SPDX-License-Identifier: GPL-2.0-or-later
// Draws what volume.json and history.json tell. All text of the server goes into text nodes, so that
// none of it can become part of the page; nothing is fetched but these two, and nothing is sent.
'use strict';

const kPause = 5000;       // ms between two questions: the history has a sample as often
const kPatience = 8000;    // ms for an answer
const kPercentHigh = 90;   // of the room, from where on uvdo status calls it a trouble
const kSvg = 'http://www.w3.org/2000/svg';

// ---- making elements

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  for (const child of (children || []).flat()) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(kSvg, tag), attributes, children);
const at = (id) => document.getElementById(id);
// Replaces what is there only where it differs, so that nothing selected or focused is lost.
function show(element, ...children) {
  const fresh = element.cloneNode(false);
  fill(fresh, {}, children);
  if (!fresh.isEqualNode(element)) element.replaceChildren(...fresh.childNodes);
}

// ---- figures for people

function scaled(value, units, step) {
  let unit = 0;
  while (Math.abs(value) >= step * 0.9995 && unit + 1 < units.length) {
    value /= step;
    ++unit;
  }
  const digits = unit === 0 ? 0 : value < 9.95 ? 1 : 0;
  return [value.toFixed(digits), units[unit]];
}
const bytes = (n) => {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let unit = 0;
  while (n >= 1024 && unit + 1 < units.length) {
    n /= 1024;
    ++unit;
  }
  return `${n.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
};
const bytesPerSecond = (n) => (n > 0 && n < 1 ? '<1 bytes/s' : `${bytes(n)}/s`);
const count = (n) => {
  if (n > 0 && n < 10) return n.toFixed(n < 0.095 ? 2 : 1);
  return scaled(n, ['', 'k', 'M', 'G'], 1000).join('');
};
const perSecond = (n) => `${count(n)}/s`;
const latency = (us) => {
  if (us === null || us === undefined) return 'none';
  if (us < 1000) return `${us < 9.95 ? us.toFixed(1) : Math.round(us)} µs`;
  const [value, unit] = us < 999500 ? [us / 1000, 'ms'] : [us / 1e6, 's'];
  return `${value.toFixed(value < 9.95 ? 1 : 0)} ${unit}`;
};
const percent = (part, whole) => {
  if (!(whole > 0)) return '0 %';
  const value = 100 * part / whole;
  if (part > 0 && value < 0.1) return '<0.1 %';
  // Rounded down, as uvdo status does: nothing that is not all is called all.
  return `${value < 10 ? (Math.floor(1000 * part / whole) / 10).toFixed(1) : Math.floor(value)} %`;
};
const duration = (seconds) => {
  for (const [length, name] of [[86400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']]) {
    const n = Math.floor(seconds / length);
    if (n >= 2 || length === 1) return `${n} ${name}${n === 1 ? '' : 's'}`;
  }
  return '';
};
const clock = (date) => date.toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', second: '2-digit'});

// ---- what the server has told

const told = {
  volume: null,
  history: {id: null, next: 0, columns: {}, rows: []},
  lastAnswer: null,  // when it came
};

async function ask(path) {
  const impatience = new AbortController();
  const timer = setTimeout(() => impatience.abort(), kPatience);
  try {
    const answer = await fetch(path, {cache: 'no-store', signal: impatience.signal});
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return await answer.json();
  } finally {
    clearTimeout(timer);
  }
}

async function askHistory() {
  const history = told.history;
  let fresh = await ask(`history.json?after=${history.next}`);
  if (fresh.id !== history.id) {
    // A server that has begun anew counts from the start.
    if (history.next !== 0) fresh = await ask('history.json?after=0');
    Object.assign(history, {id: fresh.id, rows: [], columns: {}});
    fresh.columns.forEach((name, i) => { history.columns[name] = i; });
  }
  history.rows = history.rows.concat(fresh.samples).slice(-fresh.most);
  history.next = fresh.next;
  history.intervalMs = fresh.intervalMs;
}

// ---- health, and what there is at a glance

function drawHealth(status) {
  const box = at('health');
  box.className = status.well ? 'card' : 'card bad';
  const troubles = (status.troubles || []).map((trouble) => el('li', {},
    el('div', {}, trouble.problem), el('div', {class: 'advice'}, trouble.advice)));
  const notes = (status.notes || []).map((note) => el('li', {class: 'note'}, note));
  show(box,
    el('span', {class: 'sign', 'aria-hidden': 'true'}, status.well ? '✓' : '!'),
    el('p', {class: 'summary'}, status.summary || ''),
    troubles.length + notes.length > 0 ? el('ul', {}, troubles, notes) : null);
}

function meter(part, whole, label) {
  const share = whole > 0 ? Math.min(1, part / whole) : 0;
  return svg('svg', {width: '100%', height: 8, role: 'img', 'aria-label': label},
    svg('rect', {class: 'track', width: '100%', height: 8, rx: 4}),
    svg('rect', {class: share * 100 >= kPercentHigh ? 'level high' : 'level',
      width: `${share * 100}%`, height: 8, rx: 4}));
}

function tile(name, value, more, picture) {
  return el('div', {}, el('dt', {}, name), el('dd', {class: 'value'}, value),
    picture ? el('dd', {}, picture) : null, el('dd', {class: 'more'}, more));
}

// In bytes; unknown while a volume recovers, and after an error.
function figuresOf(volume) {
  const s = volume.statistics;
  const b = s.blockSize;
  const known = volume.space.roomUsedBytes !== null;
  const savings = s.savings;
  const sorted = savings.zeroBlocks !== null && savings.deduplicatedBlocks !== null &&
    savings.compressedBlocks !== null;
  const written = (s.logicalBlocks - savings.thinBlocks) * b;
  const stored = s.dataBlocksUsed * b;
  return {
    known, sorted, written, stored,
    logical: s.logicalBlocks * b,
    thin: savings.thinBlocks * b,
    zeros: savings.zeroBlocks * b,
    duplicates: savings.deduplicatedBlocks * b,
    compressed: savings.compressedBlocks * b,
    saved: Math.max(0, written - stored),
    physical: s.physicalBlocks * b,
    metadata: s.overheadBlocksUsed * b,
    free: Math.max(0, s.physicalBlocks - s.dataBlocksUsed - s.overheadBlocksUsed) * b,
  };
}

function fillText(space) {
  const rate = space.fillBytesPerSecond;
  const over = `over the last ${duration(space.fillSeconds)}`;
  if (space.roomUsedBytes !== null && space.roomUsedBytes >= space.roomBytes) {
    return ['full', 'new data finds no room'];
  }
  if (space.secondsUntilFull !== null) {
    return [`in ${duration(space.secondsUntilFull).replace(/minutes$/, 'min')}`, `at +${bytesPerSecond(rate)}, seen ${over}`];
  }
  if (space.fillSeconds === 0) return ['not known yet', 'after five seconds of watching'];
  if (rate < 0) return ['not filling', `${bytesPerSecond(-rate)} become free, ${over}`];
  return ['not filling', `nothing was added ${over}`];
}

function drawTiles(volume) {
  const f = figuresOf(volume);
  const space = volume.space;
  const lately = volume.lately;
  const room = f.known
    ? tile('Room for data used', percent(space.roomUsedBytes, space.roomBytes),
      `${bytes(space.roomUsedBytes)} of ${bytes(space.roomBytes)}`,
      meter(space.roomUsedBytes, space.roomBytes, `${percent(space.roomUsedBytes, space.roomBytes)} used`))
    : tile('Room for data used', 'not known', `of ${bytes(space.roomBytes)}`);
  const saved = f.known && f.written > 0
    ? tile('Saved', percent(f.saved, f.written), `${bytes(f.written)} take ${bytes(f.stored)}`,
      meter(f.saved, f.written, `${percent(f.saved, f.written)} saved`).cloneNode(true))
    : tile('Saved', f.known ? 'nothing yet' : 'not known', f.known ? 'nothing is written' : '');
  // A high share is good here.
  saved.querySelectorAll('.high').forEach((level) => level.setAttribute('class', 'level'));
  let now = tile('Requests', '…', 'the first figures come in five seconds');
  if (lately) {
    const kinds = ['read', 'write', 'discard', 'flush'];
    const all = kinds.reduce((sum, kind) => sum + lately.requests[kind].perSecond, 0);
    now = tile('Requests', perSecond(all),
      `${bytesPerSecond(lately.requests.read.bytesPerSecond)} read, ` +
      `${bytesPerSecond(lately.requests.write.bytesPerSecond)} written`);
  }
  const clients = volume.devices.clients;
  show(at('tiles'), room, tile('Full', ...fillText(space)), saved, now,
    tile('Clients', String(clients), clients === 1 ? 'is connected' : 'are connected'));
}

// ---- the picture: three bars, each the next one's part

const kGap = 34;     // between bars, with the text of the lower one
const kHeight = 34;  // of a bar

function patterns() {
  return svg('defs', {},
    svg('pattern', {id: 'hatch', width: 7, height: 7, patternUnits: 'userSpaceOnUse',
      patternTransform: 'rotate(45)'},
      svg('rect', {class: 'back', width: 7, height: 7}),
      svg('line', {class: 'mark', x1: 0, y1: 0, x2: 0, y2: 7, 'stroke-width': 2})),
    svg('pattern', {id: 'dots', width: 6, height: 6, patternUnits: 'userSpaceOnUse'},
      svg('rect', {class: 'back', width: 6, height: 6}),
      svg('circle', {class: 'dot', cx: 3, cy: 3, r: 1.2})));
}

// Draws one bar; returns where each segment lies, by its kind.
function drawBar(picture, y, width, bar) {
  const total = bar.segments.reduce((sum, segment) => sum + segment.size, 0);
  const places = {};
  picture.append(
    svg('text', {class: 'strong', x: 0, y: y - 9}, bar.name),
    svg('text', {x: width, y: y - 9, 'text-anchor': 'end'}, bytes(total)));
  let x = 0;
  for (const segment of bar.segments) {
    if (segment.size <= 0) continue;
    // What is there at all is seen.
    const wide = Math.max(1.5, width * segment.size / total);
    const right = Math.min(width, x + wide);
    places[segment.kind] = [x, right];
    picture.append(svg('rect', {class: segment.kind, x, y, width: Math.max(0, right - x), height: kHeight}));
    const text = segment.short || segment.name;
    if (right - x > text.length * 7.2 + 14) {
      const shade = {thin: ' dark', free: ' dark', unsorted: ' dark', duplicates: ' bright', zeros: ' bright'};
      picture.append(svg('text', {class: `inside${shade[segment.kind] || ''}`, x: (x + right) / 2,
        y: y + kHeight / 2 + 4, 'text-anchor': 'middle'}, text));
    }
    x = right;
  }
  return places;
}

function join(picture, from, to, y) {
  if (!from || !to) return;
  const bottom = y + kGap;
  picture.append(svg('path', {class: 'join',
    d: `M${from[0]} ${y}L${from[1]} ${y}L${to[1]} ${bottom}L${to[0]} ${bottom}Z`}));
}

function barsOf(f) {
  const stored = {kind: 'stored', name: 'Stored', size: f.stored,
    why: 'different data, as it lies on the disk'};
  const sorts = f.sorted
    ? [{kind: 'zeros', name: 'Zeros', size: f.zeros, why: 'blocks of zeros take no space'},
      {kind: 'duplicates', name: 'Deduplicated', size: f.duplicates, why: 'equal to data that is stored already'},
      {kind: 'compressed', name: 'Compressed', size: f.compressed, why: 'spared by packing several blocks in one'}]
    : [{kind: 'unsorted', name: 'Saved', size: f.saved, why: 'zeros, duplicates and compression: being counted'}];
  const thin = {kind: 'thin', name: 'Thin', short: 'never written, or discarded', size: f.thin,
    why: 'never written, or discarded: takes no space'};
  const metadata = {kind: 'metadata', name: 'Metadata', size: f.metadata,
    why: 'the map of the blocks, reference counts, journal and index'};
  const free = {kind: 'free', name: 'Free', short: 'free', size: f.free, why: 'of the disk, for data to come'};
  return {
    logical: {name: 'Seen by clients', segments: [
      {kind: 'written', name: 'Written', short: 'written', size: f.written}, thin]},
    written: {name: 'Written', segments: [stored, ...sorts.slice().reverse()]},
    physical: {name: 'On the disk', segments: [stored, metadata, free]},
    legend: [stored, ...sorts.slice().reverse(), thin, metadata, free],
  };
}

function drawSpace(volume) {
  const f = figuresOf(volume);
  const box = at('picture');
  if (!f.known) {
    show(box, el('p', {}, `It offers ${bytes(f.logical)} on ${bytes(f.physical)}. What is stored is not known ` +
      (volume.mode === 'recovering' ? 'until the recovery has ended.' : 'after an error.')));
    return show(at('legend'));
  }
  const bars = barsOf(f);
  const width = Math.max(240, box.clientWidth);
  const row = kHeight + kGap;
  const height = 22 + 2 * row + kHeight;
  const saved = percent(f.saved, f.written);
  const picture = svg('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'img',
    'aria-label': `Of ${bytes(f.logical)} that clients see, ${bytes(f.written)} are written, and take ` +
      `${bytes(f.stored)} on a disk of ${bytes(f.physical)}: ${saved} saved. Figures follow.`},
    patterns());
  const joins = svg('g');
  picture.append(joins);
  const upper = drawBar(picture, 22, width, bars.logical);
  const middle = drawBar(picture, 22 + row, width, bars.written);
  const lower = drawBar(picture, 22 + 2 * row, width, bars.physical);
  const whole = f.written > 0 ? [0, width] : null;
  join(joins, upper.written, whole, 22 + kHeight);
  join(joins, middle.stored, lower.stored, 22 + row + kHeight);
  show(box, picture);
  show(at('legend'), bars.legend.map((part) => el('div', {},
    svg('svg', {width: 16, height: 16, 'aria-hidden': 'true'},
      svg('rect', {class: part.kind, width: 16, height: 16, rx: 3})),
    el('dt', {}, part.name),
    el('dd', {class: 'size'}, bytes(part.size)),
    el('dd', {class: 'why'}, part.why))));
}

// ---- curves of the last hour

const kinds = {read: 'reads', write: 'writes', discard: 'discards', flush: 'flushes'};
const charts = [
  {title: 'Requests', format: perSecond,
    series: Object.entries(kinds).map(([kind, name]) => ({column: `${kind}PerSecond`, name, look: kind,
      always: kind === 'read' || kind === 'write'}))},
  {title: 'Data', format: bytesPerSecond, binary: true, series: [
    {column: 'readBytesPerSecond', name: 'read', look: 'read', always: true},
    {column: 'writeBytesPerSecond', name: 'written', look: 'write', always: true}]},
  {title: 'Latency of reads', format: latency, log: true, series: [
    {column: 'readUs99', name: '99 %', look: 'read', always: true},
    {column: 'readUs50', name: '50 %', look: 'read dashed', always: true}]},
  {title: 'Latency of writes', format: latency, log: true, series: [
    {column: 'writeUs99', name: '99 %', look: 'write', always: true},
    {column: 'writeUs50', name: '50 %', look: 'write dashed', always: true}]},
  {title: 'Room for data', format: bytes, area: true, wide: true, top: 'roomBytes', series: [
    {column: 'roomUsedBytes', name: 'used', look: 'room', always: true}]},
];

// The window: an hour, or less while the server has not been there for so long.
function windowMs(uptimeMs) {
  const minutes = [5, 10, 20, 30, 60].find((n) => uptimeMs <= n * 60000) || 60;
  return minutes * 60000;
}

// The end of a scale, and into how many steps it is parted so that each is a round number.
function niceScale(most, binary) {
  if (!(most > 0)) return [binary ? 1024 : 1, 1];
  const base = binary ? 1024 ** Math.max(0, Math.floor(Math.log2(most) / 10)) : 1;
  const power = 10 ** Math.floor(Math.log10(most / base));
  const [top, steps] = [[1, 2], [2, 4], [3, 3], [4, 4], [5, 5], [6, 3], [8, 4], [10, 5]]
    .find(([n]) => n * power * base >= most * 0.9999) || [10, 5];
  return [top * power * base, steps];
}

// Without the ".0" that figures have beside others.
const tickText = (chart, value) => chart.top ? `${Math.round(100 * value / chart.end)} %`
  : value === 0 ? '0' : chart.format(value).replace('/s', '').replace(/\.0+(?!\d)/, '');

function scaleOf(chart, values) {
  const present = values.filter((value) => value !== null);
  const most = present.reduce((a, b) => Math.max(a, b), 0);
  if (chart.log) {
    const positive = present.filter((value) => value > 0);
    const least = positive.reduce((a, b) => Math.min(a, b), Infinity);
    const low = Math.floor(Math.log10(Number.isFinite(least) ? least : 1));
    const high = Math.max(low + 1, Math.ceil(Math.log10(most > 0 ? most : 10)));
    const ticks = [];
    const step = Math.max(1, Math.ceil((high - low) / 5));
    for (let power = low; power <= high; power += step) ticks.push(10 ** power);
    return {ticks, place: (value) => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)};
  }
  const [top, steps] = chart.end ? [chart.end, 4] : niceScale(most, chart.binary);
  return {ticks: Array.from({length: steps + 1}, (_, i) => top * i / steps), place: (value) => value / top};
}

// Pieces of a curve: where nothing is known it has a gap.
function piecesOf(rows, time, value, longest) {
  const pieces = [];
  let last = -Infinity;
  for (const row of rows) {
    const y = value(row);
    if (y === null) {
      last = -Infinity;
      continue;
    }
    const t = time(row);
    if (t - last > longest) pieces.push([]);
    pieces[pieces.length - 1].push([t, y]);
    last = t;
  }
  return pieces;
}

class Chart {
  constructor(what) {
    this.what = what;
    this.caption = el('figcaption');
    this.plot = svg('svg', {class: 'plot', tabindex: 0, role: 'img'});
    this.figure = el('figure', {class: what.wide ? 'wide' : null}, this.caption, this.plot);
    this.chosen = null;  // number of the row that is pointed at
    this.plot.addEventListener('pointermove', (event) => this.pointAt(event));
    this.plot.addEventListener('pointerleave', () => this.choose(null));
    this.plot.addEventListener('blur', () => this.choose(null));
    this.plot.addEventListener('keydown', (event) => this.step(event));
  }
  pointAt(event) {
    if (!this.rows || this.rows.length === 0) return;
    const t = this.timeAt(event.clientX - this.plot.getBoundingClientRect().left);
    let best = 0;
    this.rows.forEach((row, i) => {
      if (Math.abs(this.time(row) - t) < Math.abs(this.time(this.rows[best]) - t)) best = i;
    });
    this.choose(best);
  }
  step(event) {
    const move = {ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12}[event.key];
    if (event.key === 'Escape') this.choose(null);
    if (!move || !this.rows || this.rows.length === 0) return;
    event.preventDefault();
    const from = this.chosen === null ? this.rows.length : this.chosen;
    this.choose(Math.min(this.rows.length - 1, Math.max(0, from + move)));
  }
  choose(row) {
    if (row === this.chosen) return;
    this.chosen = row;
    this.draw();
  }
  // The end of a row's while, in ms of the server's life.
  time(row) { return row[told.history.columns.endMs]; }

  draw() {
    const {what} = this;
    const {columns, intervalMs} = told.history;
    const now = told.volume.uptimeMs;
    const span = windowMs(now);
    this.rows = told.history.rows.filter((row) => this.time(row) > now - span);
    if (this.chosen !== null && this.chosen >= this.rows.length) this.chosen = null;
    const rows = this.rows;
    const series = what.series.filter((one) => one.always ||
      rows.some((row) => row[columns[one.column]] > 0));
    if (what.top && rows.length > 0) what.end = rows[rows.length - 1][columns[what.top]];
    const scale = scaleOf(what, series.flatMap((one) => rows.map((row) => row[columns[one.column]])));
    const width = Math.max(220, this.figure.clientWidth - 34);
    const height = what.wide ? 130 : 170;
    const box = {left: 62, right: width - 6, top: 8, bottom: height - 22};
    const x = (t) => box.right - (now - t) / span * (box.right - box.left);
    const y = (value) => box.bottom - Math.min(1, scale.place(value)) * (box.bottom - box.top);
    this.timeAt = (px) => now - (box.right - px) / (box.right - box.left) * span;

    const parts = [];
    for (const tick of scale.ticks) {
      parts.push(svg('line', {class: tick === scale.ticks[0] ? 'axis' : 'grid', x1: box.left, x2: box.right,
        y1: y(tick), y2: y(tick)}));
      parts.push(svg('text', {x: box.left - 7, y: y(tick) + 4, 'text-anchor': 'end'},
        tickText(what, tick)));
    }
    if (now < span) {
      const began = x(0);
      parts.push(svg('rect', {class: 'before', x: box.left, y: box.top, width: began - box.left,
        height: box.bottom - box.top}));
      if (began - box.left > 130) {
        parts.push(svg('text', {x: (box.left + began) / 2, y: (box.top + box.bottom) / 2 + 4,
          'text-anchor': 'middle'}, 'before the server began'));
      }
    }
    const steps = {5: 5, 10: 5, 20: 4, 30: width < 420 ? 3 : 6, 60: width < 420 ? 3 : 6}[span / 60000];
    for (let i = 0; i <= steps; ++i) {
      const minutes = span / 60000 * (steps - i) / steps;
      const text = minutes === 0 ? 'now' : `−${minutes}${i === 0 && width >= 420 ? ' min' : ''}`;
      parts.push(svg('text', {x: x(now - minutes * 60000), y: height - 5,
        'text-anchor': i === 0 ? 'start' : i === steps ? 'end' : 'middle'}, text));
    }
    for (const one of series) {
      const pieces = piecesOf(rows, (row) => this.time(row), (row) => row[columns[one.column]], intervalMs * 3);
      for (const piece of pieces) {
        // A point alone is a while of its own.
        const points = piece.length > 1 ? piece : [[piece[0][0] - intervalMs, piece[0][1]], piece[0]];
        const line = points.map(([t, value]) => `${x(t).toFixed(1)} ${y(value).toFixed(1)}`).join('L');
        if (what.area) {
          const [first, last] = [points[0][0], points[points.length - 1][0]];
          parts.push(svg('path', {class: `area ${one.look}`,
            d: `M${line}L${x(last).toFixed(1)} ${box.bottom}L${x(first).toFixed(1)} ${box.bottom}Z`}));
        }
        parts.push(svg('path', {class: `curve ${one.look}`, d: `M${line}`}));
      }
    }
    const row = rows[this.chosen === null ? rows.length - 1 : this.chosen];
    if (this.chosen !== null) {
      parts.push(svg('line', {class: 'cursor', x1: x(this.time(row)), x2: x(this.time(row)),
        y1: box.top, y2: box.bottom}));
    }
    fill(this.plot, {width, height, viewBox: `0 0 ${width} ${height}`});
    this.plot.replaceChildren(...parts);
    this.describe(series, row, rows, columns, now);
  }
  describe(series, row, rows, columns, now) {
    const {what} = this;
    const when = this.chosen === null ? null : clock(new Date(told.lastAnswer - (now - this.time(row))));
    const value = (one) => {
      const found = row ? row[columns[one.column]] : undefined;
      if (found === undefined) return '…';
      return found === null ? (what.log ? 'none' : 'not known') : what.format(found);
    };
    show(this.caption,
      el('h3', {}, what.title, what.log ? el('span', {class: 'at'}, ', log scale') : null),
      when ? el('span', {class: 'at'}, `at ${when}`) : null,
      series.map((one) => el('span', {class: 'key'},
        svg('svg', {width: 18, height: 8, 'aria-hidden': 'true'},
          svg('path', {class: `curve ${one.look}`, d: 'M1 4L17 4'})),
        `${one.name} `, el('b', {}, value(one)))));
    const said = series.map((one) => {
      const most = rows.reduce((a, each) => Math.max(a, each[columns[one.column]] || 0), 0);
      return `${one.name} ${value(one)}, at most ${what.format(most)}`;
    });
    this.plot.setAttribute('aria-label',
      `${what.title}${when ? ` at ${when}` : ''}: ${said.join('; ')}. Arrow keys show earlier figures.`);
  }
}

let drawn = null;
function drawCharts() {
  if (!drawn) {
    drawn = charts.map((what) => new Chart(what));
    at('charts').replaceChildren(...drawn.map((chart) => chart.figure));
  }
  const span = windowMs(told.volume.uptimeMs);
  at('history-title').textContent = span === 3600000 ? 'The last hour' : `The last ${span / 60000} minutes`;
  at('held').textContent = told.volume.lately ? `Held up by ${told.volume.lately.heldUpBy}.` : '';
  for (const chart of drawn) chart.draw();
}

// Figures: each row begins with what they are of.
function table([first, ...head], rows) {
  return el('table', {},
    el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, first),
      head.map((text) => el('th', {scope: 'col', class: 'number'}, text)))),
    el('tbody', {}, rows.map(([name, ...cells]) => el('tr', {}, el('th', {scope: 'row'}, name),
      cells.map((text) => el('td', {class: 'number'}, text))))));
}

// In twelve parts: mean rates, and the slowest 99 % of any of their samples.
function drawTable() {
  const {columns, rows} = told.history;
  const now = told.volume.uptimeMs;
  const span = windowMs(now);
  const part = span / 12;
  const mean = (some, column) => some.reduce((sum, row) => sum + row[columns[column]], 0) / some.length;
  const slowest = (some, column) => {
    const known = some.map((row) => row[columns[column]]).filter((value) => value !== null);
    return known.length > 0 ? latency(Math.max(...known)) : '–';
  };
  const body = [];
  for (let i = 0; i < 12; ++i) {
    const some = rows.filter((row) => {
      const age = now - row[columns.endMs];
      return age >= i * part && age < (i + 1) * part;
    });
    if (some.length === 0) continue;
    const used = some[some.length - 1][columns.roomUsedBytes];
    const cells = [perSecond(mean(some, 'readPerSecond')), perSecond(mean(some, 'writePerSecond')),
      bytesPerSecond(mean(some, 'readBytesPerSecond')), bytesPerSecond(mean(some, 'writeBytesPerSecond')),
      slowest(some, 'readUs99'), slowest(some, 'writeUs99'), used === null ? 'not known' : bytes(used)];
    body.push([clock(new Date(told.lastAnswer - i * part)), ...cells]);
  }
  show(at('table'), table(
    ['until', 'reads', 'writes', 'read', 'written', 'reads, 99 %', 'writes, 99 %', 'room used'], body));
}

// ---- who uses it

function drawClients(devices) {
  const n = devices.clients;
  const rows = [
    ...devices.front_ends.map((entry) => [entry.kind, entry.address]),
    ...devices.devices.map((entry) => [`${entry.kind} device`, entry.link || entry.path]),
  ];
  const connections = devices.connections;
  show(at('clients'),
    el('p', {}, n === 0 ? 'Nobody is connected.' : n === 1 ? 'One client is connected.' : `${n} clients are connected.`),
    connections.length === 0 ? null : table(['client', 'for', 'requests', 'read', 'written'],
      connections.map((entry) => [[el('code', {}, entry.origin), entry.encrypted ? ' (TLS)' : null],
        duration(entry.connected_ms / 1000), entry.requests.toLocaleString('en'), bytes(entry.read_bytes),
        bytes(entry.written_bytes)])),
    rows.length === 0 ? null : el('table', {},
      el('thead', {}, el('tr', {}, ['they come by', 'at'].map((text) => el('th', {scope: 'col'}, text)))),
      el('tbody', {}, rows.map((row) => el('tr', {}, row.map((text, i) =>
        el(i === 0 ? 'th' : 'td', i === 0 ? {scope: 'row'} : {}, i === 1 ? el('code', {}, text) : text)))))));
}

// ---- all of it

function draw() {
  const volume = told.volume;
  if (!volume) return;
  const name = volume.volume.split('/').pop() || volume.volume;
  document.title = `${volume.status.well ? '' : '! '}${name} – uvdo`;
  at('name').textContent = name;
  at('name').title = volume.volume;
  at('identity').textContent = `served for ${duration(volume.uptimeMs / 1000)} by uvdo ${volume.version} · ` +
    `${volume.mode} · UUID ${volume.uuid}`;
  at('main').hidden = false;
  drawHealth(volume.status);
  drawTiles(volume);
  drawSpace(volume);
  drawCharts();
  drawTable();
  drawClients(volume.devices);
}

function drawContact(isLost) {
  const contact = at('contact');
  contact.className = isLost ? 'lost' : '';
  at('main').classList.toggle('lost', isLost);
  const when = told.lastAnswer ? clock(new Date(told.lastAnswer)) : null;
  contact.textContent = isLost
    ? (when ? `No answer from the server: all of this is of ${when}.` : 'No answer from the server.')
    : `as of ${when}`;
}

async function look() {
  try {
    told.volume = await ask('volume.json');
    await askHistory();
    told.lastAnswer = Date.now();
    draw();
    drawContact(false);
  } catch (error) {
    console.warn(error);
    drawContact(true);
  }
}

// One question at a time, and none while nobody looks.
async function watch() {
  for (;;) {
    if (!document.hidden) await look();
    await new Promise((resolve) => {
      const timer = setTimeout(goOn, kPause);
      function goOn() {
        clearTimeout(timer);
        document.removeEventListener('visibilitychange', goOn);
        resolve();
      }
      document.addEventListener('visibilitychange', goOn);
    });
  }
}

let lastWidth = 0;
new ResizeObserver(() => {
  if (document.body.clientWidth === lastWidth) return;
  lastWidth = document.body.clientWidth;
  draw();
}).observe(document.body);
watch();
