// Which charts a page has. One run: what belongs together in one chart, a line each. Several runs: a chart for each
// figure, a line a run. A chart is left out when no run has its figure.
(() => {
  const runs = JSON.parse(document.getElementById('reports').textContent);
  const place = document.getElementById('charts');
  const single = runs.length === 1;

  // title, histograms, whether the scale is logarithmic at first
  const LATENCY_CURVES = [
    [
      'Latency by percentile',
      {
        latency_newest: 'newest frame',
        latency_oldest: 'oldest frame',
        spread: 'spread',
        latency_segment: 'newest frame of a segment',
        latency_date: 'by programme date',
      },
      false,
    ],
  ];
  const OTHER_CURVES = [
    ['Joins, reloads, parts and stalls by percentile', { join: 'join', reload: 'reload', part: 'part', stall: 'stall' }, true],
    ['Lateness of the load generator by percentile', { own_lateness: 'own lateness', publisher_late: 'publishers late' }, false],
  ];
  const megabits = (bytes) => bytes * 8 / 1e6;
  const LATENCY_OVER_TIME = {
    title: 'Latency over time',
    unit: 'ms',
    across: true,
    logarithmic: false,
    series: { median: (second) => second.latency_p50_ms, '99th percentile': (second) => second.latency_p99_ms },
  };
  const OVER_TIME = [
    { title: 'Viewers', unit: '', whole: true, series: { viewers: (second) => second.viewers } },
    { title: 'Publishers', unit: '', whole: true, series: { publishers: (second) => second.publishers } },
    {
      title: 'Throughput',
      unit: 'Mbit/s',
      series: {
        'received by viewers': (second) => megabits(second.received_bytes),
        'sent by publishers': (second) => megabits(second.sent_bytes),
      },
    },
    { title: 'Requests', unit: '1/s', series: { 'requests answered': (second) => second.requests } },
    {
      title: 'Processor time',
      unit: 'cores',
      series: { server: (second) => second.server_cores, 'load generator': (second) => second.own_cores },
    },
    { title: 'Lateness of the load generator', unit: 'ms', series: { '99th percentile': (second) => second.own_lateness_p99_ms } },
  ];
  const MARKS = { stalls: (second) => second.stalls, faults: (second) => second.faults };

  const runName = ({ letter, label }) => `${letter}  ${label}`;

  // --- by percentile

  function curve(distribution) {
    const last = Math.log10(distribution.count);
    const points = distribution.percentiles
      .filter(([percentile]) => percentile < 100)
      .map(([percentile, value]) => [Charts.nines(percentile), value])
      .filter(([x]) => x < last);
    return [...points, [last, distribution.max]];
  }

  function percentileChart(title, series, logarithmic, across) {
    if (!series.length) return;
    const end = Charts.largest(series.map(({ points }) => points[points.length - 1][0]), 1);
    Charts.chart(place, { title, unit: 'ms', across, logarithmic, axis: Charts.percentileAxis(end), series });
  }

  /** Those that a later version may have added. */
  function unknownCurves() {
    const known = [...LATENCY_CURVES, ...OTHER_CURVES].flatMap(([, histograms]) => Object.keys(histograms));
    const names = new Set(runs.flatMap(({ report }) => Object.keys(report.histograms)));
    return [...names].filter((name) => !known.includes(name)).map((name) => [`${name} by percentile`, { [name]: name }, false]);
  }

  function drawCurves(curves) {
    for (const [title, histograms, logarithmic] of curves) {
      const lines = Object.entries(histograms).map(([histogram, name]) => [
        name,
        runs.flatMap((run, style) => {
          const distribution = run.report.histograms[histogram];
          return distribution && distribution.count ? [{ name: runName(run), style, points: curve(distribution) }] : [];
        }),
      ]);
      const across = 'latency_newest' in histograms;
      if (single) {
        const series = lines.flatMap(([name, [line]], style) => (line ? [{ ...line, name, style }] : []));
        percentileChart(title, series, logarithmic, across);
      } else {
        lines.forEach(([name, series], index) => {
          percentileChart(`${name[0].toUpperCase()}${name.slice(1)} by percentile`, series, false, across && index === 0);
        });
      }
    }
  }

  // --- over time

  const end = Charts.largest(runs.flatMap(({ report }) => report.timeline.map(({ at_s }) => at_s)), 1);
  const axis = Charts.timeAxis(end);

  /** A second that is missing is a gap. */
  function points({ report }, pick) {
    return report.timeline.flatMap((second, index) => {
      const before = index ? report.timeline[index - 1].at_s : second.at_s;
      const point = [second.at_s, pick(second)];
      return second.at_s - before > 1.5 ? [[before + 0.5, null], point] : [point];
    });
  }

  /** From when to when no run was measured. */
  function bands() {
    const measured = new Set();
    for (const { report } of runs) for (const second of report.timeline) if (second.measured) measured.add(Math.round(second.at_s));
    const found = [];
    for (let at = 1; at <= Math.round(end); at++) {
      if (measured.has(at)) continue;
      if (found.length && found[found.length - 1][1] === at - 1) found[found.length - 1][1] = at;
      else found.push([at - 1, at]);
    }
    return found;
  }

  const hasValues = ({ points: all }) => all.some(([, y]) => y !== null && y !== 0);

  function timeCharts({ title, series, ...rest }) {
    const lines = Object.entries(series).map(([name, pick]) => [
      name,
      runs.map((run, style) => ({ name: runName(run), style, points: points(run, pick) })),
    ]);
    const charts = single
      ? [[title, lines.map(([name, [line]], style) => ({ ...line, name, style }))]]
      : lines.map(([name, all]) => [lines.length > 1 ? `${title}: ${name}` : title, all]);
    for (const [chartTitle, all] of charts) {
      const shown = all.filter(hasValues);
      if (shown.length) Charts.chart(place, { ...rest, title: chartTitle, axis, bands: bands(), series: shown });
    }
  }

  function markChart() {
    const series = runs.flatMap((run, index) =>
      Object.entries(MARKS).map(([name, pick], mark) => ({
        name: single ? name : `${run.letter} ${name}`,
        style: single ? mark : index,
        points: points(run, pick),
      })));
    Charts.chart(place, { title: 'Stalls and faults', unit: '', axis, bands: bands(), series, lanes: true, across: true });
  }

  drawCurves(LATENCY_CURVES);
  if (runs.some(({ report }) => report.timeline.length)) {
    timeCharts(LATENCY_OVER_TIME);
    markChart();
    OVER_TIME.forEach(timeCharts);
  }
  drawCurves([...OTHER_CURVES, ...unknownCurves()]);
})();
