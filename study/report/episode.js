'use strict';
// Sample episodes: question, plan, steps and answer, with every piece of text in the tint of the version that wrote it.

const versionNumber = (run) => number((run.version || {}).number);
const named = (list, names) => {
  const found = (list || []).find((entry) => names.includes(entry.name));
  return found ? number(found.value) : undefined;
};

// The versions of each policy that wrote anything in this episode, oldest first: {policy: [numbers]}.
function versionsOf(episode) {
  const versions = {};
  for (const turn of episode.turns) {
    for (const run of turn.version_runs || []) {
      const list = versions[turn.policy] = versions[turn.policy] || [];
      if (!list.includes(versionNumber(run))) list.push(versionNumber(run));
    }
  }
  for (const list of Object.values(versions)) list.sort((a, b) => a - b);
  return versions;
}

// The newest version of an episode has the strongest tint of its policy's colour; the number is written as well.
function tint(policy, version, versions, colours) {
  const list = versions[policy] || [];
  const strength = list.length < 2 ? 0.16 : 0.12 + 0.3 * list.indexOf(version) / (list.length - 1);
  const name = colours[policy] || '--muted';
  return `background: rgb(var(${name}) / ${strength.toFixed(2)}); border-color: rgb(var(${name}) / ${(0.3 + strength).toFixed(2)})`;
}

function pieces(turn, versions, colours) {
  const runs = turn.version_runs || [];
  return h('span', {class: 'mono'}, (turn.output_pieces || []).map((text, i) => {
    // A piece without text is the end-of-turn token alone.
    const shown = text === '' ? h('small', {}, '⟨end⟩') : text;
    if (!runs[i]) return h('span', {}, shown);
    const version = versionNumber(runs[i]);
    return h('span', {class: 'piece', title: `${turn.policy}, version ${version}`, style: tint(turn.policy, version, versions, colours)},
      h('i', {}, `v${version}`), shown);
  }));
}

const mark = (right) => (right === undefined || right === null ? null
  : h('span', {class: right ? 'good' : 'bad', title: right ? 'right' : 'wrong'}, right ? '✓' : '✗'));

// Whether a step's result is right: by its own reward, or, when all of the episode's steps are alike, by their count.
function stepIsRight(turn, episode) {
  const own = named([...(turn.rewards || []), ...(turn.measures || [])], ['right', 'correct', 'step', 'step_right', 'success']);
  if (own !== undefined) return own > 0.5;
  const executed = named(episode.measures, ['steps_executed']);
  const right = named(episode.measures, ['steps_right']);
  if (executed === undefined || right === undefined || executed === 0) return undefined;
  return right === executed ? true : right === 0 ? false : undefined;
}

function stepRow(turn, episode, versions, colours) {
  const from = (turn.parents || []).map((parent) => episode.turns.find((other) => number(other.turn) === number(parent)))
    .filter((other) => other && other.role === turn.role).map((other) => number(other.node) + 1);
  return h('div', {class: 'step'},
    h('small', {}, `${number(turn.node) + 1}`),
    h('span', {class: 'mono'}, turn.prompt_text || ''), pieces(turn, versions, colours),
    mark(stepIsRight(turn, episode)),
    from.length ? h('small', {}, `uses ${join(from.map(String))}`) : null,
    turn.masked ? h('small', {}, 'not trained on: the plan is faulty') : null,
    turn.truncated ? h('small', {}, 'cut at its length limit') : null);
}

function faultList(episode) {
  const own = (episode.faults || []).map((fault) => [fault, '']);
  const ofTurns = episode.turns.flatMap((turn) => (turn.faults || []).map((fault) => [fault, ` (${turn.role})`]));
  // A fault of the plan may stand with its turn and with the episode.
  const texts = [...own, ...ofTurns].map(([fault, who]) =>
    [`${(fault.kind || 'fault').replaceAll('_', ' ')}${fault.detail ? `: ${fault.detail}` : ''}`, who]);
  const seen = new Set();
  return texts.filter(([text]) => !seen.has(text) && seen.add(text)).map(([text, who]) => text + who);
}

function episodeCard(line, colours) {
  const episode = Object.assign({turns: []}, line.episode);
  const versions = versionsOf(episode);
  const plans = episode.turns.filter((turn) => turn.role === 'planner');
  const steps = episode.turns.filter((turn) => turn.role === 'executor');
  const others = episode.turns.filter((turn) => turn.role !== 'planner' && turn.role !== 'executor');
  const faults = faultList(episode);
  const rows = [];
  const row = (term, ...content) => rows.push(h('dt', {}, term), h('dd', {}, content));
  row('Question', h('span', {class: 'mono'}, episode.question || (plans[0] || {}).prompt_text || '–'));
  for (const turn of plans) row('Plan', pieces(turn, versions, colours));
  if (steps.length) {
    steps.sort((a, b) => number(a.node) - number(b.node));
    row(steps.length === 1 ? 'Step' : 'Steps', steps.map((turn) => stepRow(turn, episode, versions, colours)));
  }
  for (const turn of others) {
    row(turn.role || 'turn', h('div', {class: 'step'}, h('span', {class: 'mono'}, turn.prompt_text || ''), pieces(turn, versions, colours)));
  }
  if (faults.length) row(faults.length === 1 ? 'Fault' : 'Faults', h('div', {class: 'faults'}, faults.join('; ')));
  row('Answer', h('span', {class: 'mono'}, episode.answer || '(none)'), ' ', mark(line.right),
    line.right === true ? null : h('small', {}, ' the right answer is '),
    line.right === true ? null : h('span', {class: 'mono'}, episode.reference || '?'));
  row('Versions', h('div', {class: 'versions'}, Object.keys(versions).length ? Object.entries(versions).map(([policy, list]) =>
    h('span', {}, `${policy} `, list.map((version) => h('span', {class: 'piece', style: tint(policy, version, versions, colours)}, `v${version}`))))
    : 'scripted'));

  const meta = [`ticket ${line.ticket === undefined ? '–' : line.ticket}`];
  if (line.purpose === 'train' && line.step_hint !== undefined) meta.push(`step ${line.step_hint}`);
  if (isNumber(line.time_s)) meta.push(formatDuration(line.time_s));
  return h('article', {class: 'card'},
    h('header', {}, h('h3', {}, line.why),
      line.right === null ? null : h('span', {class: `outcome ${line.right ? 'good' : 'bad'}`}, line.right ? '✓ right' : '✗ wrong')),
    h('p', {class: 'meta'}, meta.join(' · ')),
    h('dl', {class: 'rows'}, rows));
}
