'use strict';
// The page, section by section. A section without data is left out.

const data = JSON.parse(document.getElementById('data').textContent);
const policies = data.policies;
policies.forEach((policy, i) => { policy.colour = `--c${i % 6}`; });
const colours = Object.fromEntries(policies.map((policy) => [policy.name, policy.colour]));
const one = policies.length === 1;

// Time axes are in the unit in which the run's length reads well.
const time = data.wall_s > 3 * 3600 ? {scale: 3600, unit: 'h'} : data.wall_s > 1200 ? {scale: 60, unit: 'min'} : {scale: 1, unit: 's'};
const stages = [['warm start', data.stages.sft, true], ['reinforcement', data.stages.train, false]].filter(([, span]) => span)
  .map(([label, span, shaded]) => ({label, shaded, from: span[0] / time.scale, to: span[1] / time.scale}));
const evaluation = (stage) => data.evaluations.filter((one) => one.stage === stage).pop();
const warm = evaluation('after_sft');
const final = evaluation('final');
const lastStep = Math.max(0, ...policies.map((policy) => policy.last_step || 0));

const stepAxis = {title: 'step', name: 'step', min: 0, max: lastStep || undefined};
const timeAxis = {title: `time since the start of the run (${time.unit})`, name: `time (${time.unit})`, min: 0, max: data.wall_s / time.scale};

function points(columns, field, x) {
  const [xs, ys] = [columns[x === 'time' ? 'time_s' : 'step'] || [], columns[field] || []];
  return ys.map((y, i) => ({x: x === 'time' ? xs[i] / time.scale : xs[i], y}));
}
const perPolicy = (field, options, kind = 'steps', x = 'step') => policies.map((policy) => Object.assign(
  {label: policy.name, colour: policy.colour, data: points(policy[kind], field, x)}, options));

function section(id, title, lead, ...content) {
  const shown = content.flat().filter(Boolean);
  return shown.length ? h('section', {id}, h('h2', {}, title), lead ? h('p', {class: 'lead'}, lead) : null, shown) : null;
}
function grid(figures, kind = '') {
  const shown = figures.filter(Boolean);
  return shown.length ? h('div', {class: `grid ${kind}`}, shown) : null;
}
const finding = (text) => (text ? h('p', {class: 'finding'}, text) : null);
const swatch = (name) => h('span', {class: 'swatch', style: `background: rgb(var(${name}))`});

// ---- learning ----

// Half the width of the 95 % interval of a share of n independent episodes.
const margin = (share, n) => (n > 0 ? 1.96 * Math.sqrt(share * (1 - share) / n) : NaN);

// Mean over the policies at each step, then a centred moving average over 1/20 of the run.
function teamReward(x) {
  const rows = new Map();
  for (const policy of policies) {
    (policy.steps.reward_mean || []).forEach((reward, i) => {
      const row = rows.get(policy.steps.step[i]) || {x: [], reward: []};
      row.x.push(x === 'time' ? policy.steps.time_s[i] / time.scale : policy.steps.step[i]);
      row.reward.push(reward);
      rows.set(policy.steps.step[i], row);
    });
  }
  const sorted = [...rows.entries()].sort((a, b) => a[0] - b[0]).map(([, row]) => ({x: mean(row.x), y: mean(row.reward)}));
  const half = Math.max(1, Math.round(sorted.length / 40));
  return sorted.map((point, i) => ({x: point.x, y: mean(sorted.slice(Math.max(0, i - half), i + half + 1).map((other) => other.y))}));
}

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
      key === 'success' ? h('small', {}, ` ± ${(100 * margin(number(one.success), one.episodes)).toFixed(1)}`) : null)),
    roles.map((role) => h('td', {}, formatNumber(number((one.tokens || {})[role])))),
    h('td', {}, formatCount(one.episodes)), h('td', {}, formatNumber(number(one.temperature))));
  const change = (key) => {
    const points = 100 * (number(final[key]) - number(warm[key]));
    return `${points < 0 ? '−' : '+'}${Math.abs(points).toFixed(1)} points`;
  };
  return h('div', {class: 'scroll'}, h('table', {},
    h('tr', {}, h('th', {}, 'Held-out tasks'), shares.map(([, name]) => h('th', {}, name)),
      roles.map((role) => h('th', {}, `${role} tokens`)), h('th', {}, 'episodes'), h('th', {}, 'temperature')),
    data.evaluations.map(row),
    warm && final ? h('tr', {class: 'sum'}, h('td', {}, 'change'), shares.map(([key]) => h('td', {}, change(key))),
      h('td', {colspan: roles.length + 2})) : null));
}

// ---- staleness ----

const bounds = policies.filter((policy) => policy.bound !== null);
const boundText = () => {
  const different = new Set(bounds.map((policy) => policy.bound));
  return different.size === 1 ? `${bounds[0].bound}` : bounds.map((policy) => `${policy.bound} (${policy.name})`).join(', ');
};
function boundLines() {
  if (new Set(bounds.map((policy) => policy.bound)).size <= 1) {
    return bounds.slice(0, 1).map((policy) => ({label: 'bound', colour: '--ink', policy}));
  }
  return bounds.map((policy) => ({label: `${policy.name}, bound`, colour: policy.colour, policy}));
}
function meanStaleness(policy) {
  const total = policy.histogram.reduce((a, b) => a + b, 0);
  if (total > 0) return policy.histogram.reduce((sum, tokens, staleness) => sum + tokens * staleness, 0) / total;
  return mean(policy.steps.staleness_mean || []);
}
function maxStaleness(policy) {
  let largest = Math.max(0, ...(policy.steps.staleness_max || []).filter(isNumber));
  policy.histogram.forEach((tokens, staleness) => { if (tokens > 0) largest = Math.max(largest, staleness); });
  return largest;
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
    note: row.side === 'trainer' ? 'waits for episodes' : 'waits for tickets',
    colour: row.policy ? colours[row.policy] : '--muted', values: row.share, total: isNumber(row.mean) ? formatAxisShare(Number(row.mean.toPrecision(2))) : '–'}));
  return strips({
    title: 'Who waits for whom', top: 1, rows, seconds: data.activity.width_s, time, stages, totalTitle: 'mean',
    note: 'Share of its time that each process spent waiting; full height is all of it. The mean is over the reinforcement part.',
  });
}

function waitFinding() {
  const side = (name) => mean(data.activity.waits.filter((row) => row.side === name).map((row) => row.mean));
  const [trainers, workers] = [side('trainer'), side('worker')];
  if (!isNumber(trainers) || !isNumber(workers)) return '';
  const which = Math.abs(trainers - workers) < 0.1 ? 'the two sides keep each other about equally busy'
    : trainers > workers ? 'generation is the slower side' : 'training is the slower side: the gate holds the workers back so that nothing gets too stale';
  return `In the reinforcement part the trainers waited ${formatShare(trainers)} of their time for episodes and the workers ${formatShare(workers)} of theirs for tickets: ${which}.`;
}

// ---- optimisation and warm start ----

function smallFigure(title, note, field, y, line) {
  const reference = line === undefined ? []
    : [{name: 'reference', colour: '--muted', width: 1, dash: [4, 4], data: [{x: 0, y: line}, {x: lastStep, y: line}]}];
  const series = perPolicy(field, {width: 1.4});
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
    smallFigure('Engine mismatch', 'Mean difference in log-probability between engine and trainer, same version.', 'mismatch', {title: 'nats', min: 0}),
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

const ledgerSum = (ledger) => ['trained', 'in_flight', 'buffered', 'rejected'].reduce((sum, key) => sum + number(ledger[key]), 0);
const balances = (ledger) => ledgerSum(ledger) === number(ledger.issued);

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

// ---- head ----

function verdict() {
  const b = (text) => h('b', {}, text);
  if (warm && final) {
    const noise = Math.hypot(margin(number(warm.success), warm.episodes), margin(number(final.success), final.episodes));
    const change = number(final.success) - number(warm.success);
    if (Math.abs(change) <= (noise || 0)) {
      return ['Held-out success stayed at about ', b(formatShare(number(final.success))), ' (', b(formatShare(number(warm.success))), ' after the warm start).'];
    }
    return [`Held-out success ${change > 0 ? 'rose' : 'fell'} from `, b(formatShare(number(warm.success))), ' after the warm start to ', b(formatShare(number(final.success))), '.'];
  }
  const team = teamReward('step');
  const ended = team.length ? [' Mean reward went from ', b(formatNumber(team[0].y)), ' to ', b(formatNumber(team[team.length - 1].y)), ` in ${lastStep} steps.`] : [];
  if (final) return ['Held-out success at the end: ', b(formatShare(number(final.success))), '.', ended];
  if (warm) return ['Held-out success after the warm start: ', b(formatShare(number(warm.success))), '. There is no final evaluation.', ended];
  return team.length ? ['No evaluation was recorded.', ended] : ['No reinforcement step was recorded.'];
}

function tiles() {
  const tile = (name, value, note) => h('div', {}, h('dt', {}, name), h('dd', {}, value, note ? h('small', {}, note) : null));
  const steps = [...new Set(policies.map((policy) => policy.last_step || 0))];
  const stale = policies.filter((policy) => isNumber(meanStaleness(policy)));
  const trained = Math.max(0, ...policies.map((policy) => policy.episodes || 0));
  const warmSteps = Math.max(0, ...policies.flatMap((policy) => policy.sft.step || []));
  return h('dl', {class: 'tiles'},
    tile('Wall time', formatDuration(data.wall_s), data.stages.train ? `${formatDuration(data.stages.train[1] - data.stages.train[0])} of it reinforcement` : null),
    tile('Steps', steps.map(formatCount).join(' · '), [one || steps.length > 1 ? null : 'of each policy', warmSteps ? `after ${formatCount(warmSteps)} supervised` : null].filter(Boolean).join(', ')),
    tile('Episodes trained on', formatCount(trained), one ? null : 'by each policy'),
    tile('Tokens generated', formatCount(data.activity.tokens_generated), data.wall_s > 0 ? `${formatCount(data.activity.tokens_generated / data.wall_s)} a second over all` : null),
    stale.length ? tile('Mean staleness', stale.map((policy) => meanStaleness(policy).toFixed(2)).join(' · '),
      `versions${one ? '' : ` (${stale.map((policy) => policy.name).join(' · ')})`}; bound ${boundText()}`) : null,
    data.overlap ? tile('Overlap', formatShare(number(data.overlap.share)), 'of the reinforcement part, generating and training at once') : null);
}

function checks() {
  const line = (good, text) => h('li', {}, h('span', {class: `mark ${good ? 'good' : 'bad'}`}, good ? '✓' : '✗'), text);
  const list = [];
  if (bounds.length) {
    const over = bounds.filter((policy) => maxStaleness(policy) > policy.bound);
    list.push(line(!over.length, over.length ? `Tokens older than the bound were trained on (${join(over.map((policy) => policy.name))}).`
      : `No token older than its bound was trained on (bound ${boundText()}, largest ${bounds.map((policy) => maxStaleness(policy)).join(' · ')}).`));
  }
  const ledgers = policies.filter((policy) => policy.ledger);
  if (ledgers.length) {
    const off = ledgers.filter((policy) => !balances(policy.ledger));
    list.push(line(!off.length, off.length ? `The ledger does not balance (${join(off.map((policy) => policy.name))}).`
      : 'The ledger balances: every episode issued is accounted for.'));
  }
  const mixed = policies.map((policy) => [policy.name, mean(policy.steps.mixed_version_turns || [])]).filter(([, value]) => isNumber(value));
  if (mixed.length) {
    const any = mixed.some(([, value]) => value > 0);
    list.push(h('li', {}, h('span', {class: 'mark muted'}, '·'), any
      ? `Weights changed in mid-turn: ${join(mixed.map(([name, value]) => `${formatShare(value)} of ${name} turns`))} were written by two or more versions.`
      : 'No turn was written by more than one version.'));
  }
  if (data.steps_redone) list.push(h('li', {}, h('span', {class: 'mark muted'}, '·'), `The run was resumed: ${formatCount(data.steps_redone)} step records before that were taken again and are left out.`));
  return list.length ? h('ul', {class: 'checks'}, list) : null;
}

function head() {
  const evaluated = final || data.overlap ? h('p', {class: 'kicker'}, 'Tandem run') : h('p', {class: 'kicker'}, 'Tandem run, not (yet) finished');
  return [evaluated, h('h1', {}, data.run), h('p', {class: 'verdict'}, verdict()), tiles(), checks()];
}

function footer() {
  return h('footer', {},
    data.unreadable_total ? h('p', {}, `${formatCount(data.unreadable_total)} lines could not be read and are left out: ${data.unreadable.join(', ')}${data.unreadable_total > data.unreadable.length ? ', …' : ''}.`) : null,
    h('p', {}, 'Written by Tandem from metrics.jsonl, episodes.jsonl and config.yaml of the run folder. Charts: Chart.js (MIT licence; its notice stands in this file).'));
}

// ---- all of it ----

function build() {
  const sections = [
    section('learning', 'Learning', 'Whether the team gets more tasks right. Every policy learns from the same reward, that of the team.',
      grid([rewardFigure('step'), rewardFigure('time')]), evaluationTable()),
    section('staleness', 'Staleness',
      'How many versions behind: while an episode is played and waits in queues, its policy goes on learning. Staleness is the version that trains on a token less the version that wrote it; 0 is what a synchronous loop would have.',
      finding(stalenessFinding()), grid([histogramFigure(), stalenessFigure(),
        figure({title: 'Turns written by several versions', note: 'New weights are swapped in between two tokens, also in the middle of a turn.', x: stepAxis,
          y: Object.assign({title: 'share of turns', min: 0}, share), series: perPolicy('mixed_version_turns', {})}),
        queueFigure()])),
    section('throughput', 'Throughput and waiting', 'Generation and training run side by side; whichever is slower sets the pace, and the other one waits.',
      finding(waitFinding()), grid([throughputFigure(), waitStrips()])),
    section('optimisation', 'Optimisation', 'What each step did to its policy.',
      one ? null : legend(policies.map((policy) => ({label: policy.name, colour: policy.colour}))), grid(optimisationFigures(), 'three')),
    section('warm-start', 'Warm start', 'Supervised steps on traces of the scripted roles, before version 0.', grid(sftFigures())),
    section('ledger', 'Ledger', 'Every episode that was issued is trained on, on its way, or rejected for a reason: issued = trained + in flight + buffered + rejected.', ledgerTable()),
    section('faults', 'Faults', 'Plans that could not be carried out. They get reward 0, and executors’ work for them is not trained on.', grid([faultStrips()])),
    section('episodes', 'Sample episodes', 'How the team plays. Each piece of text carries the version that wrote it, in its policy’s colour; the newest version of an episode has the strongest tint.',
      data.episodes.length ? h('div', {class: 'cards'}, data.episodes.map((line) => episodeCard(line, colours))) : null),
    section('configuration', 'Configuration', null, data.config ? h('details', {}, h('summary', {}, 'The resolved configuration of this run'), h('pre', {}, data.config)) : null),
  ].filter(Boolean);
  const nav = h('nav', {}, sections.map((part) => h('a', {href: `#${part.id}`}, part.querySelector('h2').textContent)));
  document.getElementById('page').replaceChildren(...[...head(), sections.length ? nav : null, ...sections, footer()].filter(Boolean));
  drawCharts();
}

build();
