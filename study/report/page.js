'use strict';
// The page: its head, and its sections in order. A section without data is left out.

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
    tile('Steps', steps.map(formatCount).join(' · ') || '0', [one || steps.length > 1 ? null : 'of each policy', warmSteps ? `after ${formatCount(warmSteps)} supervised` : null].filter(Boolean).join(', ')),
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
    data.unreadable_total ? h('p', {}, `${data.unreadable_total === 1 ? 'A line' : `${formatCount(data.unreadable_total)} lines`} could not be read and left out: ${data.unreadable.join(', ')}${data.unreadable_total > data.unreadable.length ? ', …' : ''}.`) : null,
    h('p', {}, 'Written by Tandem from metrics.jsonl, episodes.jsonl and config.yaml of the run folder. Charts: Chart.js (MIT licence; its notice stands in this file).'));
}

// ---- all of it ----

function section(id, title, lead, ...content) {
  const shown = content.flat().filter(Boolean);
  return shown.length ? h('section', {id}, h('h2', {}, title), lead ? h('p', {class: 'lead'}, lead) : null, shown) : null;
}
function grid(figures, kind = '') {
  const shown = figures.filter(Boolean);
  return shown.length ? h('div', {class: `grid ${kind}`}, shown) : null;
}
const finding = (text) => (text ? h('p', {class: 'finding'}, text) : null);

function build() {
  const sections = [
    section('learning', 'Learning', 'Whether the team gets more tasks right. Every policy learns from the same reward, that of the team.',
      grid([rewardFigure('step'), rewardFigure('time')]), evaluationTable()),
    section('staleness', 'Staleness',
      'How many versions behind: while an episode is played and waits in queues, its policy goes on learning. Staleness is the version that trains on a token less the version that wrote it; 0 is what a synchronous loop would have.',
      finding(stalenessFinding()), grid([histogramFigure(), stalenessFigure(),
        figure({title: 'Turns written by several versions', note: 'New weights are swapped in between two tokens, also in the middle of a turn.', x: stepAxis,
          y: Object.assign({title: 'share of turns', min: 0}, share), series: perPolicy('mixed_version_turns', {})}),
        queueFigure(), ageSplitFigure(), driftFigure(), logRatioFigure()])),
    section('throughput', 'Throughput and waiting', 'Generation and training run side by side; whichever is slower sets the pace, and the other one waits.',
      finding(waitFinding()), grid([throughputFigure(), waitStrips()])),
    section('optimisation', 'Optimisation', 'What each step did to its policy.',
      one || !lastStep ? null : legend(policies.map((policy) => ({label: policy.name, colour: policy.colour}))), grid(optimisationFigures(), 'three')),
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

try {
  build();
} catch (error) {
  document.getElementById('page').replaceChildren(h('p', {}, `This page could not be drawn: ${error}. Its data stand in the file, as JSON.`));
  throw error;
}
