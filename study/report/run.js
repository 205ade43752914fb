'use strict';
// The run's data, and what every section needs: who has which colour, the axes, the bounds.

const data = JSON.parse(document.getElementById('data').textContent);
const policies = data.policies;
policies.forEach((policy, i) => { policy.colour = `--c${i % 6}`; });
const colours = Object.fromEntries(policies.map((policy) => [policy.name, policy.colour]));
const one = policies.length <= 1;

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

const swatch = (name) => h('span', {class: 'swatch', style: `background: rgb(var(${name}))`});

// ---- what the sections and the verdict both tell ----

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

const bounds = policies.filter((policy) => policy.bound !== null);
const boundText = () => {
  const different = new Set(bounds.map((policy) => policy.bound));
  return different.size === 1 ? `${bounds[0].bound}` : bounds.map((policy) => `${policy.bound} (${policy.name})`).join(', ');
};

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

const ledgerSum = (ledger) => ['trained', 'in_flight', 'buffered', 'rejected'].reduce((sum, key) => sum + number(ledger[key]), 0);
const balances = (ledger) => ledgerSum(ledger) === number(ledger.issued);
