'use strict';
// What the sections show: figures, tables, and findings in a sentence. Each is null or empty without data.

// ---- learning ----

function evaluationPoints(x) {
  return data.evaluations.map((one) => ({
    x: x === 'time' ? one.time_s / time.scale : one.stage === 'after_sft' ? 0 : lastStep, y: one.success}));
}

function rewardFigure(x) {
  const series = [...perPolicy('reward_mean', {width: 1.1, alpha: one ? 1 : 0.75}, 'steps', x),
    one ? null : {label: 'team, moving average', colour: '--ink', width: 2.4, data: teamReward(x)},
    {label: 'held-out success', colour: '--ink', points: true, data: evaluationPoints(x)}].filter(Boolean);
  return figure({
    title: x === 'time' ? 'Reward over time' : 'Reward over steps',
    note: x === 'time' ? 'The same by the clock: what a minute of training buys.'
      : `Mean reward of the episodes in each policy’s batch; diamonds: success on held-out tasks.${binNote()}`,
    x: x === 'time' ? timeAxis : stepAxis, bands: x === 'time' ? stages : undefined, series,
    y: {title: 'reward', suggestedMin: 0, suggestedMax: 1},
  });
}

function binNote() {
  const per = Math.max(1, ...policies.map((policy) => policy.steps.per_point || 1));
  return per > 1 ? ` Each point is the mean of ${per} steps.` : '';
}

function evaluationTable() {
  if (!data.evaluations.length) return null;
  const names = {after_sft: 'after the warm start', final: 'at the end'};
  const shares = [['success', 'success'], ['plan_valid', 'valid plan'], ['plan_right', 'right plan'],
    ['executor_step_accuracy', 'right steps']];
  const roles = [...new Set(data.evaluations.flatMap((one) => Object.keys(one.tokens || {})))].sort()
    .sort((a, b) => (b === 'planner') - (a === 'planner'));
  const row = (one) => h('tr', {}, h('td', {}, names[one.stage] || one.stage),
    shares.map(([key]) => h('td', {}, formatShare(number(one[key])),
      key === 'success' && one.episodes > 0 ? h('small', {}, ` ± ${(100 * margin(number(one.success), one.episodes)).toFixed(1)}`) : null)),
    roles.map((role) => h('td', {}, formatNumber(number((one.tokens || {})[role])))),
    h('td', {}, formatCount(one.episodes)), h('td', {}, formatNumber(number(one.temperature))));
  const change = (key) => {
    const points = 100 * (number(final[key]) - number(warm[key]));
    return `${points < 0 ? '−' : '+'}${Math.abs(points).toFixed(1)}`;
  };
  return h('div', {class: 'scroll'}, h('table', {},
    h('tr', {}, h('th', {}, 'Held-out tasks'), shares.map(([, name]) => h('th', {}, name)),
      roles.map((role) => h('th', {}, `${role} tokens`)), h('th', {}, 'episodes'), h('th', {}, 'temperature')),
    data.evaluations.map(row),
    warm && final ? h('tr', {class: 'sum'}, h('td', {}, 'change, in points'), shares.map(([key]) => h('td', {}, change(key))),
      h('td', {colspan: roles.length + 2})) : null));
}

// ---- staleness ----

function boundLines() {
  if (new Set(bounds.map((policy) => policy.bound)).size <= 1) {
    return bounds.slice(0, 1).map((policy) => ({label: 'bound', colour: '--ink', policy}));
  }
  return bounds.map((policy) => ({label: `${policy.name}, bound`, colour: policy.colour, policy}));
}
function histogramFigure() {
  // A bound far away from all that happened is named at the edge.
  const last = Math.max(...policies.map((policy) => Math.max(maxStaleness(policy), Math.min(policy.bound || 0, maxStaleness(policy) + 8))));
  const series = policies.map((policy) => {
    const total = policy.histogram.reduce((a, b) => a + b, 0);
    const bars = Array.from({length: last + 1}, (unused, x) => ({x, y: (policy.histogram[x] || 0) / total}));
    return {label: policy.name, colour: policy.colour, bars: true, data: total > 0 ? bars : []};
  });
  return figure({
    title: 'How stale the trained tokens were', type: 'bar', series,
    note: 'Share of all tokens trained on, by how many versions old they were; right of the bound nothing may stand.',
    x: {title: 'staleness (versions)', name: 'staleness', min: -0.5, max: last + 0.9},
    y: {title: 'share of tokens', format: formatAxisShare, detail: formatShare, min: 0},
    marks: boundLines().map((line) => ({x: Math.min(line.policy.bound + 0.5, last + 0.9), colour: line.colour,
      label: `${line.label} ${line.policy.bound}${line.policy.bound > last ? ' →' : ''}`})),
  });
}

// Dots and rings around them, since the largest staleness is a small whole number, often the same for two policies; of a
// long run the dots would run into each other, but there the bins' maxima hardly change.
const largestStyle = (i) => (Math.max(...policies.map((policy) => (policy.steps.step || []).length)) <= 160
  ? {dots: 1.8 + 1.5 * i, hollow: i > 0} : {dash: [2, 3]});

function stalenessFigure() {
  return figure({
    title: 'Staleness over steps',
    note: 'Mean and largest staleness in each batch. The largest may touch the bound, never cross it.',
    x: stepAxis, y: {title: 'versions', min: 0, suggestedMax: Math.max(1, ...bounds.map((policy) => policy.bound)) + 0.5},
    series: [
      ...policies.map((policy) => ({label: `${policy.name}, mean`, colour: policy.colour, width: 1.8, data: points(policy.steps, 'staleness_mean')})),
      ...policies.map((policy, i) => ({label: `${policy.name}, largest`, colour: policy.colour, width: 1.2, ...largestStyle(i), data: points(policy.steps, 'staleness_max')})),
      ...boundLines().map((line) => ({label: line.label, colour: line.colour, width: 1.5, dash: [7, 5], data: points(line.policy.steps, 'staleness_bound')})),
    ],
  });
}

// Where the versions passed by: while the group was played, and while it waited for its batch.
function ageSplitFigure() {
  return figure({
    title: 'Where the staleness comes from',
    note: 'Versions that were made while a group was still being played, and while it waited for its batch; together the mean staleness.',
    x: stepAxis, y: {title: 'versions', min: 0},
    series: policies.flatMap((policy) => [
      {label: `${policy.name}, in flight`, colour: policy.colour, data: points(policy.steps, 'staleness_in_flight_mean')},
      {label: `${policy.name}, in the queue`, colour: policy.colour, dash: [5, 3], data: points(policy.steps, 'staleness_in_queue_mean')}]),
  });
}

function driftFigure() {
  return figure({
    title: 'Partner drift',
    note: 'How many versions a partner has moved on since it played in the episodes that a policy is trained on. Being stale oneself is another thing.',
    x: stepAxis, y: {title: 'versions', min: 0},
    series: policies.flatMap((policy) => Object.entries(policy.drift || {}).map(([partner, columns]) => (
      {label: `${policy.name} trained with ${partner}`, colour: policy.colour, data: points(columns, 'drift')}))),
  });
}

function logRatioFigure() {
  const series = policies.map((policy) => ({label: policy.name, colour: policy.colour, bars: true,
    data: (policy.log_ratios || []).map((y, x) => ({x, y}))}));
  const last = Math.max(0, ...policies.map((policy) => (policy.log_ratios || []).length - 1));
  return figure({
    title: 'What staleness does to probabilities', type: 'bar', series,
    note: 'Mean |log ratio| between the version that a step starts from and the one that wrote a token, by staleness. At 0 it is the rounding of the engine’s arithmetic.',
    x: {title: 'staleness (versions)', name: 'staleness', min: -0.5, max: last + 0.6},  // a whole range would put the ticks at halves
    y: {title: '|log ratio|', min: 0},
  });
}

function stalenessFinding() {
  const parts = policies.filter((policy) => isNumber(meanStaleness(policy)))
    .map((policy) => `${meanStaleness(policy).toFixed(2)} versions old (${policy.name})`);
  if (!parts.length) return '';
  const over = policies.filter((policy) => policy.bound !== null && maxStaleness(policy) > policy.bound);
  return `When they were trained on, tokens were on average ${join(parts)}; ${over.length
    ? `tokens of ${join(over.map((policy) => policy.name))} were older than the bound` : `none was older than the bound of ${boundText()}`}.`;
}

// ---- throughput and waiting ----

const perBin = (values) => (values || []).map((y, bin) => ({x: Math.min(data.wall_s, (bin + 0.5) * data.activity.width_s) / time.scale, y}));

function throughputFigure() {
  return figure({
    title: 'Tokens per second', wide: true, x: timeAxis, bands: stages, y: {title: 'tokens/s', min: 0},
    note: 'Written by all workers (output tokens), and put through each trainer (prompts and outputs).',
    series: [{label: 'generated', colour: '--ink', width: 2, data: perBin(data.activity.generated)},
      ...policies.map((policy) => ({label: `trained, ${policy.name}`, colour: policy.colour, data: perBin(data.activity.trained[policy.name])}))],
  });
}

function queueFigure() {
  return figure({
    title: 'Episodes on their way', x: timeAxis, bands: stages, y: {title: 'episodes', min: 0},
    note: 'Being played, and played but not yet trained on: every version that passes meanwhile makes them staler.',
    series: policies.flatMap((policy) => [
      {label: `${policy.name}, in flight`, colour: policy.colour, data: points(policy.queues, 'in_flight', 'time')},
      {label: `${policy.name}, buffered`, colour: policy.colour, dash: [5, 3], data: points(policy.queues, 'buffered', 'time')}]),
  });
}

function waitStrips() {
  const rows = data.activity.waits.filter((row) => row.share.some(isNumber)).map((row) => ({
    name: row.side === 'trainer' ? `${row.name} trainer` : row.name,
    note: {trainer: 'waits for episodes', worker: 'waits for tickets', tools: 'wait for tools', exchange: 'has nothing to do'}[row.side],
    colour: row.policy ? colours[row.policy] : '--muted', values: row.share, total: isNumber(row.mean) ? formatAxisShare(Number(row.mean.toPrecision(2))) : '–'}));
  return strips({
    title: 'Who waits for whom', top: 1, rows, seconds: data.activity.width_s, time, stages, totalTitle: 'mean',
    note: 'Share of its time that each process spent waiting; full height is all of it. The mean is over the reinforcement part.',
  });
}

// Whoever waits least is whom the others wait for.
function waitFinding() {
  const waits = data.activity.waits.filter((row) => isNumber(row.mean));
  const workers = waits.filter((row) => row.side === 'worker').map((row) => row.mean);
  const sides = waits.filter((row) => row.side === 'trainer').map((row) => ({
    who: `the ${row.name} trainer`, waited: row.mean,
    pace: `training the ${row.name} sets the pace, and the gate holds the workers back so that nothing gets too stale`}));
  if (!workers.length || !sides.length) return '';
  sides.push({who: workers.length > 1 ? 'the workers' : 'the worker', waited: mean(workers), pace: 'generation sets the pace'});
  const [first, second] = [...sides].sort((a, b) => a.waited - b.waited);
  return `In the reinforcement part ${join(sides.map((side) => `${side.who} waited ${formatShare(side.waited)}`))} of the time: ${
    second.waited - first.waited < 0.05 ? 'no one alone sets the pace' : first.pace}.`;
}

// ---- optimisation and warm start ----

function smallFigure(title, note, field, y, line, look = {width: 1.4}) {
  const reference = line === undefined ? []
    : [{name: 'reference', colour: '--muted', width: 1, dash: [4, 4], data: [{x: 0, y: line}, {x: lastStep, y: line}]}];
  const series = perPolicy(field, look);
  // A reference line alone is no figure.
  return series.some((one) => one.data.length)
    ? figure({title, note, hideLegend: true, x: stepAxis, y: Object.assign({ticks: 4}, y), series: [...series, ...reference]}) : null;
}
const share = {format: formatAxisShare, detail: formatShare};

function optimisationFigures() {
  const anything = policies.some((policy) => (policy.steps.step || []).length);
  return anything ? [
    smallFigure('Loss', 'What the step minimised. With clipped objectives its level says little; jumps say much.', 'loss', {title: 'loss'}),
    smallFigure('KL divergence', 'How far a step moved the policy from the one that wrote the tokens (k3 estimator).', 'kl', {title: 'nats', suggestedMin: 0}),
    smallFigure('Entropy', 'How undecided the policy is at a token. It falls as the policy makes up its mind.', 'entropy', {title: 'nats', suggestedMin: 0}),
    smallFigure('Clip fraction', 'Tokens whose probability had changed so much that the loss ignored them.', 'clip_fraction', {title: 'of tokens', min: 0, ...share}),
    smallFigure('Effective sample size', 'Staleness makes tokens count unequally; this share of them is left in effect.', 'ess', {title: 'of tokens', suggestedMax: 1, ...share}, 1),
    smallFigure('Importance weight', 'Mean of the probability at the step’s start over that at writing. 1: not stale.', 'importance_weight_mean', {title: 'ratio'}, 1),
    smallFigure('Gradient norm', 'Length of the gradient before clipping.', 'grad_norm', {title: 'L2 norm', suggestedMin: 0}),
    smallFigure('Learning rate', 'As its schedule has it.', 'learning_rate', {title: 'rate', min: 0}),
    smallFigure('Engine mismatch', 'Mean difference in log-probability between engine and trainer, same version; only steps with tokens of it know.', 'mismatch', {title: 'nats', min: 0},
      undefined, {dots: 1.6}),
  ] : [];
}

const sftAxis = {title: 'supervised step', name: 'supervised step', min: 0};
const sftFigures = () => [
  figure({title: 'Loss', note: 'Mean negative log-likelihood of the traces, in nats a token.', x: sftAxis,
    y: {title: 'nats', suggestedMin: 0}, series: perPolicy('loss', {width: 1.2}, 'sft')}),
  figure({title: 'Gradient norm', note: 'Length of the gradient before clipping.', x: sftAxis,
    y: {title: 'L2 norm', suggestedMin: 0}, series: perPolicy('grad_norm', {width: 1.2}, 'sft')}),
];

// ---- ledger and faults ----

function ledgerTable() {
  const rows = policies.filter((policy) => policy.ledger);
  if (!rows.length) return null;
  const reasons = (ledger) => Object.entries(ledger.rejected_by_reason || {}).filter(([, count]) => number(count) > 0)
    .map(([reason, count]) => `${formatCount(number(count))} ${reason.replaceAll('_', ' ')}`).join(', ') || 'none';
  const cell = (value) => h('td', {}, formatCount(number(value)));
  return h('div', {class: 'scroll'}, h('table', {},
    h('tr', {}, ['policy', 'issued', '= trained', '+ in flight', '+ buffered', '+ rejected', 'balance', 'reissued', 'duplicates'].map((name) => h('th', {}, name)),
      h('th', {class: 'text'}, 'rejected because')),
    rows.map(({name, colour, ledger}) => h('tr', {}, h('td', {}, swatch(colour), name), cell(ledger.issued), cell(ledger.trained),
      cell(ledger.in_flight), cell(ledger.buffered), cell(ledger.rejected),
      h('td', {class: balances(ledger) ? 'good' : 'bad'}, balances(ledger) ? '✓ holds' : `✗ off by ${formatCount(number(ledger.issued) - ledgerSum(ledger))}`),
      cell(ledger.reissued_total), cell(ledger.duplicates_total), h('td', {class: 'text'}, reasons(ledger))))));
}

function faultStrips() {
  const {faults, finished} = data.activity;
  const shares = (counts) => counts.map((count, bin) => (finished[bin] > 0 ? count / finished[bin] : null));
  const total = (counts) => counts.reduce((a, b) => a + b, 0);
  const rows = Object.entries(faults).filter(([, counts]) => total(counts) > 0).sort((a, b) => total(b[1]) - total(a[1]))
    .map(([kind, counts]) => ({name: kind.replaceAll('_', ' '), colour: '--muted', values: shares(counts), total: formatCount(Math.round(total(counts)))}));
  if (!rows.length) return null;
  const largest = Math.max(...rows.flatMap((row) => row.values.filter(isNumber)));
  const top = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1].find((value) => value >= largest) || 1;
  return strips({
    title: 'Faults by kind', top, rows, seconds: data.activity.width_s, time, stages, totalTitle: 'total',
    note: `Faults as a share of the episodes finished at that time; full height is ${formatAxisShare(top)}.`,
  });
}
