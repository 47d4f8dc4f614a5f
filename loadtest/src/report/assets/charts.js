// Charts as SVG: lines, or lanes of marks, with axes, a legend that is the readout as well, and a cursor that pointer,
// finger and arrow keys move. Charts that share a kind of axis share the cursor.
//
// A series: { name, style, points: [[x, y or null], ...] }, x rising; style picks colour and dash pattern together, so that
// no line is told by its colour alone. Every text is set as text: names may come from a server under test.
'use strict';
const Charts = (() => {
  const SVG = 'http://www.w3.org/2000/svg';
  const DASHES = ['', '8 4', '2 3', '12 3 2 3', '16 4', '4 7', '12 3 2 3 2 3', '3 8'];
  const MARGIN = { left: 52, right: 14, top: 24, bottom: 42 };
  const LANE_HEIGHT = 46;
  const TICK_GAP = 42; // the widest text below a tick, `99.99 %`
  const cursors = new Map(); // kind of axis -> functions that show the cursor at the stop of a name, or hide it

  /** Without the characters that turn the direction of writing, or that have no look. */
  const clean = (text) => String(text).replace(/[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, '\ufffd');

  function element(parent, name, attributes = {}, text = '') {
    const made = parent.namespaceURI === SVG || name === 'svg' ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, clean(value));
    if (text !== '') made.textContent = clean(text);
    return parent.appendChild(made);
  }

  // Not by spreading into Math.max: a day of seconds is more arguments than a call may have.
  const largest = (values, least) => values.reduce((most, value) => Math.max(most, value), least);
  const smallest = (values) => values.reduce((least, value) => Math.min(least, value), Infinity);
  const number = (value) => value.toLocaleString('en', { maximumSignificantDigits: Math.abs(value) < 1000 ? 4 : 21, maximumFractionDigits: 0 });
  const tickText = (value) =>
    value.toLocaleString('en', value >= 1e6 ? { notation: 'compact' } : { maximumSignificantDigits: 6 });

  // --- axes: from x to a share of the width, and what to write below

  function timeAxis(end) {
    const long = end >= 3600;
    const two = (value) => String(Math.floor(value)).padStart(2, '0');
    const clock = (seconds) => {
      const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
      return long ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
    };
    return {
      kind: 'time',
      title: `${long ? 'hours:' : ''}minutes:seconds since the start`,
      end,
      stops: Array.from({ length: Math.ceil(end) }, (_, index) => [index + 1, clock(index + 1)]),
      ticks(count) {
        const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
        const step = steps.find((seconds) => end / seconds <= count) || Math.ceil(end / count / 86400) * 86400;
        return Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => [index * step, clock(index * step)]);
      },
      at: (series, x) => series.points.find(([at, y]) => Math.round(at) === x && y !== null)?.[1] ?? null,
    };
  }

  /** x of a percentile: 1 at 90 %, 2 at 99 %, 3 at 99.9 %, as HdrHistogram draws it. */
  const nines = (percentile) => Math.log10(100 / (100 - percentile));

  function percentileAxis(end) {
    const named = [[0, 'min'], ...[25, 50, 75, 90, 95].map((percentile) => [nines(percentile), `${percentile} %`])];
    for (let digits = 0; digits < 8; digits++) {
      const [nine, five] = [`99${digits ? `.${'9'.repeat(digits)}` : ''}`, `99.${'9'.repeat(digits)}5`];
      named.push([digits + 2, `${nine} %`], [nines(Number(five)), `${five} %`]);
    }
    return {
      kind: 'percentile',
      title: 'percentile',
      end,
      stops: [...named.filter(([x]) => x < end - 1e-6), [end, 'max']],
      ticks(count) {
        const all = [[0, '0 %'], [nines(50), '50 %'], ...named.filter(([x]) => Number.isInteger(x) && x > 0)];
        const shown = all.filter(([x]) => x <= end);
        const every = Math.ceil((shown.length - 2) / Math.max(1, count - 1));
        return shown.filter(([x]) => x < 1 || (x - 1) % every === 0);
      },
      at(series, x) {
        const { points } = series;
        return (points.find(([at]) => at >= x - 1e-6) ?? points[points.length - 1])[1];
      },
    };
  }

  /** { place: share of the height, ticks } of values from 0, or from the smallest on a logarithmic scale. */
  function valueScale(values, { logarithmic, whole }, count) {
    const most = largest(values, 0);
    const positive = values.filter((value) => value > 0);
    if (logarithmic && positive.length) {
      const low = Math.floor(Math.log10(smallest(positive)));
      const high = Math.max(low + 1, Math.ceil(Math.log10(most)));
      const ticks = [];
      for (let decade = low; decade <= high; decade++) {
        for (const factor of high - low > 2 ? [1] : [1, 2, 5]) {
          if (decade < high || factor === 1) ticks.push(factor * 10 ** decade);
        }
      }
      return { place: (value) => Math.max(0, (Math.log10(Math.max(value, 1e-9)) - low) / (high - low)), ticks };
    }
    const rough = Math.max((most || 1) / count, whole ? 1 : 0);
    const decade = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * decade >= rough * 0.999) * decade;
    const top = Math.max(1, Math.ceil(most / step - 1e-9));
    return { place: (value) => value / (top * step), ticks: Array.from({ length: top + 1 }, (_, index) => index * step) };
  }

  // --- what is drawn

  /** A line with gaps where there are no values; a value between two gaps becomes a dash of its own. */
  function path(points, x, y) {
    let text = '';
    let begun = 0;
    points.forEach(([at, value], index) => {
      if (value === null) {
        begun = 0;
        return;
      }
      const alone = begun === 0 && (index + 1 === points.length || points[index + 1][1] === null);
      const [left, top] = [x(at), y(value)].map((place) => Math.round(place * 10) / 10);
      text += alone ? `M${left - 1.5} ${top}h3` : `${begun ? 'L' : 'M'}${left} ${top}`;
      begun += 1;
    });
    return text;
  }

  /** Of a long run, the lowest and highest value of each pixel. */
  function thinned(points, width, end) {
    if (points.length <= 4 * width) return points;
    const columns = new Map();
    for (const point of points) {
      const column = Math.floor(point[0] / end * width);
      if (!columns.has(column)) columns.set(column, []);
      columns.get(column).push(point);
    }
    return [...columns.values()].flatMap((column) => {
      const known = column.filter(([, value]) => value !== null).sort((one, other) => one[1] - other[1]);
      if (!known.length) return [column[0]];
      return [known[0], known[known.length - 1]].sort((one, other) => one[0] - other[0]);
    });
  }

  function drawAxis(svg, { axis, bands, lanes }, frame) {
    for (const [from, to] of bands || []) {
      const [left, right] = [frame.x(from), frame.x(Math.min(to, axis.end))];
      element(svg, 'rect', { class: 'band', x: left, y: frame.top, width: Math.max(0, right - left), height: frame.bottom - frame.top });
      if (right - left > 84 && !lanes) element(svg, 'text', { x: left + 6, y: frame.top + 14 }, 'not measured');
    }
    let before = -Infinity;
    for (const [x, text] of axis.ticks(Math.floor((frame.right - frame.left) / 62))) {
      const left = frame.x(x);
      if (left - before < TICK_GAP) continue;
      before = left;
      element(svg, 'line', { class: 'grid', x1: left, x2: left, y1: frame.top, y2: frame.bottom });
      const middle = Math.min(left, frame.right + MARGIN.right - 3.5 * text.length); // a digit is 7 wide
      element(svg, 'text', { x: middle, y: frame.bottom + 16, 'text-anchor': 'middle' }, text);
    }
    element(svg, 'text', { x: frame.right, y: frame.bottom + 34, 'text-anchor': 'end' }, axis.title);
  }

  function drawLines(svg, spec, frame) {
    const values = spec.series.flatMap(({ points }) => points.map(([, y]) => y)).filter((y) => y !== null);
    const scale = valueScale(values, spec, frame.bottom - frame.top > 180 ? 5 : 4);
    frame.y = (value) => frame.bottom - (frame.bottom - frame.top) * scale.place(value);
    for (const tick of scale.ticks) {
      const top = frame.y(tick);
      element(svg, 'line', { class: tick === 0 ? 'axis' : 'grid', x1: frame.left, x2: frame.right, y1: top, y2: top });
      element(svg, 'text', { x: frame.left - 8, y: top + 4, 'text-anchor': 'end' }, tickText(tick));
    }
    element(svg, 'text', { x: frame.left - 8, y: 12, 'text-anchor': 'end' }, spec.unit);
    for (const { style, points } of spec.series) {
      const line = path(thinned(points, frame.right - frame.left, spec.axis.end), frame.x, frame.y);
      element(svg, 'path', { class: `curve c${style}`, d: line, 'stroke-dasharray': DASHES[style] });
    }
  }

  /** One lane a series: a mark at each second that is not 0, as high as it is many. */
  function drawLanes(svg, spec, frame) {
    const width = Math.max(3, (frame.right - frame.left) / spec.axis.end - 1);
    spec.series.forEach(({ name, style, points }, lane) => {
      const base = frame.top + LANE_HEIGHT * (lane + 1);
      const most = largest(points.map(([, count]) => count), 0);
      element(svg, 'line', { class: 'axis', x1: frame.left, x2: frame.right, y1: base, y2: base });
      const label = most ? `${name}, at most ${number(most)} in a second` : `no ${name}`;
      element(svg, 'text', { x: frame.left + 4, y: base - LANE_HEIGHT + 14 }, label);
      for (const [at, count] of points) {
        if (!count) continue;
        const height = 6 + (LANE_HEIGHT - 26) * count / most;
        element(svg, 'rect', { class: `mark c${style}`, x: frame.x(at) - width / 2, y: base - height, width, height });
      }
    });
  }

  function swatch(parent, style, lanes) {
    const svg = element(parent, 'svg', { width: 28, height: 10, 'aria-hidden': true });
    if (lanes) element(svg, 'rect', { class: `mark c${style}`, x: 12, y: 0, width: 4, height: 10 });
    else element(svg, 'line', { class: `curve c${style}`, x1: 0, x2: 28, y1: 5, y2: 5, 'stroke-dasharray': DASHES[style] });
  }

  // --- one chart

  /**
   * spec: { title, unit, axis, series, bands, logarithmic }, and where true: lanes (marks instead of lines), across (over the
   * whole width), whole (values are counts). A chart with `logarithmic`, true or false, gets a button for it.
   */
  function chart(parent, spec) {
    const { axis, series } = spec;
    const figure = element(parent, 'figure', { class: spec.across ? 'chart across' : 'chart' });
    const caption = element(figure, 'figcaption');
    element(caption, 'span', {}, spec.title);
    const where = element(caption, 'span', { class: 'at' });
    const legend = element(figure, 'ul', { class: 'legend' });
    const readouts = series.map(({ name, style }) => {
      const item = element(legend, 'li');
      swatch(item, style, spec.lanes);
      element(item, 'span', {}, name);
      return element(item, 'b');
    });
    const svg = element(figure, 'svg', { class: 'plot', tabindex: 0, role: 'img', 'aria-label': described(spec) });
    const spoken = element(figure, 'output', { class: 'spoken' });
    let frame = null;
    let cursor = null;
    let stop = -1; // index of the cursor in axis.stops
    const stopsByName = new Map(axis.stops.map(([, name], index) => [name, index]));

    function draw() {
      const width = Math.floor(svg.clientWidth);
      if (width < 100) return;
      const inner = spec.lanes ? LANE_HEIGHT * series.length : spec.across ? Math.min(280, Math.max(190, width / 3)) : 150;
      const [left, right, top] = [MARGIN.left, width - MARGIN.right, spec.lanes ? 4 : MARGIN.top];
      frame = { left, right, top, bottom: top + inner, x: (at) => left + (right - left) * at / axis.end };
      const height = frame.bottom + MARGIN.bottom;
      svg.replaceChildren();
      svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
      svg.setAttribute('height', height);
      drawAxis(svg, spec, frame);
      (spec.lanes ? drawLanes : drawLines)(svg, spec, frame);
      cursor = element(svg, 'g');
      show();
    }

    function show() {
      if (!frame) return;
      cursor.replaceChildren();
      const [x, name] = stop < 0 ? [null, ''] : axis.stops[stop];
      where.textContent = name;
      if (x !== null) element(cursor, 'line', { class: 'cursor', x1: frame.x(x), x2: frame.x(x), y1: frame.top, y2: frame.bottom });
      series.forEach((one, place) => {
        const value = x === null ? null : axis.at(one, x);
        readouts[place].textContent = value === null ? '' : number(value);
        if (value === null || spec.lanes) return;
        element(cursor, 'circle', { class: `dot c${one.style}`, cx: frame.x(Math.min(x, one.points[one.points.length - 1][0])), cy: frame.y(value), r: 4 });
      });
    }

    /** Moves every cursor on this kind of axis, by the stop's name: the axes need not be equally long. */
    const showAll = (index) => cursors.get(axis.kind).forEach((showAt) => showAt(index < 0 ? '' : axis.stops[index][1]));
    function point(event) {
      const x = (event.clientX - svg.getBoundingClientRect().left - frame.left) / (frame.right - frame.left) * axis.end;
      const distance = (index) => Math.abs(axis.stops[index][0] - x);
      showAll(axis.stops.reduce((best, _, index) => (distance(index) < distance(best) ? index : best), 0));
    }
    svg.addEventListener('pointermove', point);
    svg.addEventListener('pointerdown', point);
    svg.addEventListener('pointerleave', (event) => event.pointerType === 'mouse' && showAll(-1));
    svg.addEventListener('blur', () => showAll(-1));
    svg.addEventListener('keydown', (event) => {
      const last = axis.stops.length - 1;
      const far = event.shiftKey ? 10 : 1;
      const next = { ArrowLeft: Math.max(0, stop - far), ArrowRight: Math.min(last, stop + far), Home: 0, End: last, Escape: -1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      showAll(next);
      const values = series.map(({ name }, place) => `${name} ${readouts[place].textContent || 'none'}`);
      spoken.textContent = next < 0 ? '' : `${where.textContent}: ${values.join(', ')}`;
    });
    if (spec.logarithmic !== undefined) addScaleButton(caption, spec, draw);
    if (!cursors.has(axis.kind)) cursors.set(axis.kind, []);
    cursors.get(axis.kind).push((name) => {
      stop = stopsByName.get(name) ?? -1;
      show();
    });
    new ResizeObserver(draw).observe(figure);
  }

  function addScaleButton(caption, spec, draw) {
    const button = element(caption, 'button', { type: 'button', 'aria-pressed': spec.logarithmic }, 'log scale');
    button.addEventListener('click', () => {
      spec.logarithmic = !spec.logarithmic;
      button.setAttribute('aria-pressed', spec.logarithmic);
      draw();
    });
  }

  function described({ title, unit, series, lanes }) {
    const ranges = series.map(({ name, points }) => {
      const values = points.map(([, y]) => y).filter((y) => y !== null);
      if (lanes) return `${name}: ${number(values.reduce((sum, count) => sum + count, 0))} in all`;
      return `${name}: ${number(smallest(values))} to ${number(largest(values, 0))} ${unit}`;
    });
    return `${title}. ${ranges.join('; ')}. Arrow keys move a cursor.`;
  }

  return { chart, timeAxis, percentileAxis, nines, largest };
})();
