'use strict';
// Elements and numbers. Data of the run reaches the page as text nodes only (never as HTML): a question or a name may
// hold anything.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === 'style') node.style.cssText = value;
    else if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// ---- numbers ----

const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);
// Protobuf's JSON leaves zeroes out and writes 64-bit integers as strings.
const number = (value) => (isNumber(value) ? value : Number(value || 0) || 0);

const threeDigits = new Intl.NumberFormat('en', {maximumSignificantDigits: 3});
const whole = new Intl.NumberFormat('en', {maximumFractionDigits: 0});

function formatNumber(value) {
  if (!isNumber(value)) return '–';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(1).replace('.0e', 'e').replace('+', '').replaceAll('-', '−');
  return (size >= 1000 ? whole : threeDigits).format(value).replace('-', '−');
}
const formatCount = (value) => (isNumber(value) ? whole.format(value) : '–');
const formatShare = (value) => (isNumber(value) ? `${(100 * value).toFixed(1)} %` : '–');
function formatAxisShare(value) {
  return `${Number((100 * value).toPrecision(3))} %`;
}

function formatDuration(seconds) {
  if (!isNumber(seconds)) return '–';
  const total = Math.round(seconds);
  if (total < 60) return `${seconds < 10 ? seconds.toFixed(1) : total} s`;
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
}

const mean = (values) => {
  const finite = values.filter(isNumber);
  return finite.length ? finite.reduce((a, b) => a + b, 0) / finite.length : NaN;
};

// Names joined as a sentence would.
function join(parts) {
  if (parts.length < 2) return parts.join('');
  return `${parts.slice(0, -1).join(', ')} and ${parts[parts.length - 1]}`;
}
