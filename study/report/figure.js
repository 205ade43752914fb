'use strict';
// Figures: a caption that says what is seen, a legend, and a chart or strips. Colours are names of CSS variables, looked
// up when a chart is drawn, so that a change between light and dark only needs drawing again.

const charts = [];  // {canvas, config()} of every chart on the page

function colour(name, alpha = 1) {
  const [red, green, blue] = getComputedStyle(document.documentElement).getPropertyValue(name).trim().split(/\s+/);
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}

// ---- legend ----

function legendKey(series) {
  const stroke = `stroke: rgb(var(${series.colour})); stroke-width: ${series.width || 2}; fill: none`;
  const mark = series.points
    ? s('rect', {x: 8, y: 3, width: 8, height: 8, transform: 'rotate(45 12 7)', style: `fill: rgb(var(${series.colour}))`})
    : series.dots
      ? s('circle', {cx: 12, cy: 7, r: series.dots, style: `stroke: rgb(var(${series.colour})); fill: ${series.hollow ? 'none' : `rgb(var(${series.colour}))`}`})
    : series.bars
      ? s('rect', {x: 6, y: 2, width: 12, height: 10, style: `fill: rgb(var(${series.colour}))`})
      : s('path', {d: 'M0 7 H24', style: stroke, 'stroke-dasharray': (series.dash || []).join(' ') || undefined});
  return h('span', {}, s('svg', {width: 24, height: 14, 'aria-hidden': 'true'}, mark), series.label);
}

function legend(series) {
  const shown = series.filter((one) => one.label);
  return shown.length < 1 ? null : h('div', {class: 'legend'}, shown.map(legendKey));
}

// ---- charts ----

// Bands behind a chart over time: which stage of the run it was.
const stageBands = {
  id: 'stageBands',
  beforeDatasetsDraw(chart, unused, {bands}) {
    const {ctx, chartArea: area, scales: {x}} = chart;
    ctx.save();
    ctx.font = `11px ${Chart.defaults.font.family}`;
    for (const band of bands || []) {
      const left = Math.max(area.left, x.getPixelForValue(band.from));
      const right = Math.min(area.right, x.getPixelForValue(band.to));
      if (band.shaded) {
        ctx.fillStyle = colour('--muted', 0.1);
        ctx.fillRect(left, area.top, right - left, area.bottom - area.top);
      }
      ctx.fillStyle = colour('--muted');
      if (ctx.measureText(band.label).width < right - left) ctx.fillText(band.label, left + 1, area.top - 5);
    }
    ctx.restore();
  },
};

// Vertical lines with a label: the bounds in the histogram.
const verticalMarks = {
  id: 'verticalMarks',
  afterDatasetsDraw(chart, unused, {marks}) {
    const {ctx, chartArea: area, scales: {x}} = chart;
    ctx.save();
    ctx.font = `12px ${Chart.defaults.font.family}`;
    (marks || []).forEach((mark, row) => {
      const at = x.getPixelForValue(mark.x);
      ctx.strokeStyle = ctx.fillStyle = colour(mark.colour);
      ctx.lineWidth = 1.5;
      ctx.setLineDash([6, 4]);
      ctx.beginPath();
      ctx.moveTo(at, area.top - 4);
      ctx.lineTo(at, area.bottom);
      ctx.stroke();
      const leftwards = at + ctx.measureText(mark.label).width + 8 > chart.width;
      ctx.textAlign = leftwards ? 'right' : 'left';
      ctx.fillText(mark.label, at + (leftwards ? -6 : 6), area.top + 8 + 15 * row);
    });
    ctx.restore();
  },
};

function dataset(series) {
  const line = colour(series.colour, series.alpha);
  return {
    label: series.label || series.name,
    data: series.data,
    borderColor: line,
    backgroundColor: line,
    borderWidth: series.bars ? 0 : series.width || 1.6,
    borderDash: series.dash || [],
    showLine: !series.points && !series.dots,
    clip: series.points || series.dots ? 10 : 2,
    // A curve of one point would be invisible without its point.
    pointRadius: series.points ? 6 : series.dots || (series.data.length === 1 ? 3 : 0),
    pointHoverRadius: series.points ? 7 : 3,
    pointStyle: series.points ? 'rectRot' : 'circle',
    pointBackgroundColor: series.hollow ? 'transparent' : line,
    order: series.points ? 0 : 1,
    maxBarThickness: 34,
    categoryPercentage: 0.78,
    barPercentage: 0.94,
  };
}

function axis(spec, extra) {
  return Object.assign({
    title: {display: Boolean(spec.title), text: spec.title, color: colour('--muted'), font: {size: 12}, padding: 2},
    ticks: {
      color: colour('--muted'), font: {size: 11.5}, maxRotation: 0, includeBounds: false, autoSkipPadding: 14, maxTicksLimit: spec.ticks || 6,
      callback: function (value) { return spec.format ? spec.format(value) : formatNumber(value); },
    },
    min: spec.min, max: spec.max, suggestedMin: spec.suggestedMin, suggestedMax: spec.suggestedMax,
  }, extra);
}

function chartConfig(spec) {
  const x = axis(Object.assign({ticks: 8}, spec.x), {type: 'linear', grid: {display: false, drawBorder: true, borderColor: colour('--line')}});
  if (spec.type === 'bar') Object.assign(x, {offset: true, ticks: Object.assign(x.ticks, {stepSize: 1, maxTicksLimit: 20})});
  const y = axis(spec.y, {grid: {color: colour('--line'), drawBorder: false, drawTicks: false}});
  y.ticks.padding = 6;
  const format = spec.y.detail || spec.y.format || formatNumber;
  return {
    type: spec.type || 'line',
    data: {datasets: spec.series.map(dataset)},
    options: {
      animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true, spanGaps: false,
      layout: {padding: {top: spec.bands ? 16 : 4, right: 4}},
      interaction: {mode: spec.type === 'bar' ? 'x' : 'nearest', axis: 'x', intersect: false},
      scales: {x, y},
      plugins: {
        legend: {display: false},
        stageBands: {bands: spec.bands},
        verticalMarks: {marks: spec.marks},
        tooltip: {
          backgroundColor: colour('--ink', 0.94), titleColor: colour('--bg'), bodyColor: colour('--bg'), padding: 8,
          displayColors: false, titleFont: {weight: '600', size: 12}, bodyFont: {size: 12},
          callbacks: {
            title: (items) => (items.length ? `${spec.x.name} ${(spec.x.format || formatNumber)(items[0].parsed.x)}` : ''),
            label: (item) => `${item.dataset.label}: ${format(item.parsed.y)}`,
          },
        },
      },
    },
    plugins: [stageBands, verticalMarks],
  };
}

function drawCharts() {
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  for (const chart of charts) {
    if (chart.drawn) chart.drawn.destroy();
    chart.drawn = new Chart(chart.canvas, chartConfig(chart.spec));
  }
}

// A figure of a chart, or null when no series has a point.
// spec: {title, note, type, x: {title, name, format}, y: {title, format, min, ...}, series, bands, marks, hideLegend, wide}
// series: {label, colour, data: [{x, y}], dash, width, alpha, bars}; points: diamonds; dots: radius, hollow: rings
function figure(spec) {
  spec.series = spec.series.filter((series) => series.data.some((point) => isNumber(point.y)));
  if (!spec.series.length) return null;
  const canvas = h('canvas', {role: 'img', 'aria-label': `${spec.title}. ${spec.note}`});
  charts.push({canvas, spec});
  return h('figure', {class: spec.wide ? 'wide' : undefined},
    h('figcaption', {}, h('h3', {}, spec.title), h('p', {}, spec.note), spec.hideLegend ? null : legend(spec.series)),
    h('div', {class: 'plot'}, canvas));
}

// ---- strips ----

// An area of steps, each bin as high as its value (of `top`), over a faint track where there is data.
function strip(values, top, colourName, describe) {
  const track = [];
  const area = [];
  values.forEach((value, bin) => {
    if (!isNumber(value)) return;
    track.push(`M${bin} 0h1.02v100h-1.02z`);
    const height = 100 * Math.min(1, value / top);
    if (height > 0) area.push(`M${bin} 100v${-height}h1.02v${height}z`);
  });
  const title = s('title', {});
  const svg = s('svg', {viewBox: `0 0 ${values.length} 100`, preserveAspectRatio: 'none'},
    title,
    s('path', {d: track.join(''), style: 'fill: rgb(var(--muted) / .13)'}),
    s('path', {d: area.join(''), style: `fill: rgb(var(${colourName}))`}));
  svg.addEventListener('mousemove', (event) => {
    const box = svg.getBoundingClientRect();
    const bin = Math.min(values.length - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * values.length)));
    title.textContent = describe(bin, values[bin]);
  });
  return svg;
}

// spec: {title, note, top, totalTitle, rows: [{name, note, colour, values, total}], seconds (a bin's width), time, stages}
// time: {scale (seconds per unit), unit}; stages: [{label, from, to}] in units
function strips(spec) {
  const bins = spec.rows.length ? spec.rows[0].values.length : 0;
  if (!bins) return null;
  const end = bins * spec.seconds / spec.time.scale;
  const at = (value) => `${(100 * value / end).toFixed(2)}%`;
  const describe = (bin, value) => {
    const from = bin * spec.seconds / spec.time.scale;
    const to = (bin + 1) * spec.seconds / spec.time.scale;
    return `${formatNumber(from)} to ${formatNumber(to)} ${spec.time.unit}: ${isNumber(value) ? formatShare(value) : 'no data'}`;
  };
  const tick = [1, 2, 5, 10, 20, 50, 100, 200, 500].map((n) => [n / 10, n, n * 1000]).flat().sort((a, b) => a - b)
    .find((n) => end / n <= 8) || end;
  const ticks = [];
  for (let value = 0; value <= end * 0.98; value += tick) ticks.push(value);
  return h('figure', {class: 'wide'},
    h('figcaption', {}, h('h3', {}, spec.title), h('p', {}, spec.note)),
    h('div', {class: 'strips'},
      h('div', {class: 'row'},
        h('div', {class: 'total muted'}, spec.totalTitle),
        h('div', {class: 'area stages'}, spec.stages.map((stage) =>
          h('span', {style: `left: ${at(stage.from)}; width: calc(${at(stage.to - stage.from)} - 2px)`}, stage.label)))),
      spec.rows.map((row) => h('div', {class: 'row'},
        h('div', {class: 'name'}, row.name, row.note ? h('small', {}, row.note) : null),
        h('div', {class: 'total'}, row.total),
        h('div', {class: 'area'}, strip(row.values, spec.top, row.colour, describe)))),
      h('div', {class: 'row'}, h('div', {class: 'area axis'}, ticks.map((value, i) =>
        h('span', {style: `left: ${at(value)}`}, i === 0 ? `0 ${spec.time.unit}` : formatNumber(value)))))));
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawCharts);
