// The timeline: every write of the cluster, in lanes by who made it, oldest to the left. It is measured in changes and not in
// seconds, so that what happens in a few milliseconds can be looked at one by one. Dragging shows the cluster as it was.

import { h, render, act, $, reducedMotion } from './dom.js'
import { t, age, clock, fill, lang } from './i18n.js'
import { world, noise } from './model.js'
import { set, param, revision, address } from './url.js'
import { older, again } from './feed.js'
import { ask, query } from './api.js'
import { who } from './status.js'
import { step, redraw } from './main.js'

const laneHeight = 14
const pitch = 9 // between two changes, in pixels
const kubeletsApart = 4 // above it all kubelets share a lane

let root, parts, observer
let width = 0
let scroll = 0 // how many changes the right edge is away from the newest
let lanes = []
let shownChanges = []
let folded = localStorage.getItem('kubette.folded') === 'yes'

// hidden says of a change that it is not in the timeline: what tells little, unless asked for.
export const hidden = entry => world.quiet && noise(entry)

export function mount(to) {
  root = to
  parts = {
    line: h('div', { class: 'tl-line' }),
    labels: h('div', { class: 'tl-labels', 'aria-hidden': 'true' }),
    canvas: h('canvas', { class: 'tl-canvas', tabindex: 0, role: 'slider' }),
  }
  parts.body = h('div', { class: 'tl-body' }, parts.labels, parts.canvas)
  root.append(parts.line, parts.body)
  observer = new ResizeObserver(() => { width = parts.canvas.clientWidth; draw() })
  observer.observe(parts.canvas)
  parts.canvas.addEventListener('pointerdown', grab)
  parts.canvas.addEventListener('pointermove', event => { if (event.buttons & 1) drag(event); else hover(event) })
  parts.canvas.addEventListener('pointerleave', () => { hovered = null; line() })
  parts.canvas.addEventListener('wheel', wheel, { passive: false })
  parts.canvas.addEventListener('keydown', pressed)
}

let hovered = null

export function update(what) {
  readCauses()
  if (what.all || what.entries || what.shell || what.steps && revision()) draw()
  else if (what.steps) line() // a step is known a moment after what it wrote: it names the cause
}

// laneOf is who made a change, as a lane.
function laneOf(entry, apart) {
  const name = who(entry.actor)
  if (entry.actor === 'kubernetes-admin' || !entry.actor?.startsWith('system:')) return 'you'
  if (name.startsWith('kubelet ')) return apart ? name : 'kubelets'
  return name
}

// Lanes stand in the order in which a wish goes through the cluster; those that only set it up come last.
const order = [/^you$/, /^(deployment|replicaset|statefulset|daemonset|job|cronjob|horizontal)/, /^kube-scheduler$/, /^kubelet/, /^(endpoint|kube-proxy|ingress|service-controller)/, /^(?!apiserver$)/]
const rank = name => { const at = order.findIndex(each => each.test(name)); return at < 0 ? order.length : at }

function choose() {
  shownChanges = world.changes.filter(entry => !hidden(entry))
  const kubelets = new Set(shownChanges.map(entry => who(entry.actor)).filter(name => name.startsWith('kubelet ')))
  const apart = kubelets.size <= kubeletsApart
  const names = new Set(['you', 'kube-scheduler'])
  const first = Math.max(0, rightEdge() - Math.ceil(width / pitch))
  for (const [i, entry] of shownChanges.entries()) {
    entry.lane = laneOf(entry, apart)
    if (i >= first && i <= rightEdge()) names.add(entry.lane)
  }
  lanes = [...names].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
}

function draw() {
  if (!root) return
  root.classList.toggle('folded', folded)
  choose()
  line()
  slider()
  if (folded) return
  render(parts.labels, lanes.map(name => h('div', { 'data-key': name, title: name }, laneName(name))))
  paint()
}

const laneName = name => name === 'you' ? t('lane.you') : name === 'kubelets' ? t('lane.kubelets') : name.replace('kube-scheduler', 'scheduler').replace('-controller', '')

let colours = null
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { colours = null; draw() })
new MutationObserver(() => { colours = null; draw() }).observe(document.documentElement, { attributeFilter: ['data-theme'] })

function palette() {
  if (colours) return colours
  const probe = document.createElement('i') // resolves a colour to the one of the theme
  root.append(probe)
  const get = name => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color }
  return colours = { line: get('line'), dim: get('dim'), text: get('text'), accent: get('accent'), ready: get('ready'), failed: get('failed'), stripe: get('stripe'), gone: probe.remove() }
}

// newestIndex is the change at the right edge.
const rightEdge = () => shownChanges.length - 1 - scroll
const xOf = index => width - 14 - (rightEdge() - index) * pitch

function paint() {
  const { canvas } = parts
  const ratio = devicePixelRatio || 1
  const height = lanes.length * laneHeight
  if (!width) return
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio)
    canvas.height = Math.round(height * ratio)
    canvas.style.height = height + 'px'
  }
  const c = canvas.getContext('2d')
  const colour = palette()
  c.setTransform(ratio, 0, 0, ratio, 0, 0)
  c.clearRect(0, 0, width, height)
  c.fillStyle = colour.stripe
  for (let i = 0; i < lanes.length; i += 2) c.fillRect(0, i * laneHeight, width, laneHeight)
  const place = new Map(lanes.map((name, i) => [name, i * laneHeight + laneHeight / 2]))
  const here = world.view.rev, sel = param('sel')
  const first = Math.max(0, rightEdge() - Math.ceil(width / pitch))
  for (let i = first; i <= Math.min(rightEdge(), shownChanges.length - 1); i++) {
    const entry = shownChanges[i]
    mark(c, xOf(i), place.get(entry.lane), entry, !sel || entry.id === sel, entry.rev > here, colour)
  }
  arrow(c, place, colour)
  const at = indexAt(here)
  if (revision()) {
    const x = xOf(at) + (at < 0 ? pitch : 0)
    c.strokeStyle = colour.accent
    c.lineWidth = 2
    c.beginPath(); c.moveTo(x, 0); c.lineTo(x, height); c.stroke()
  }
}

// mark draws one change: a filled square creates, a bar changes, a cross deletes.
function mark(c, x, y, entry, chosen, future, colour) {
  c.globalAlpha = future ? 0.3 : chosen ? 1 : 0.35
  c.fillStyle = c.strokeStyle = entry.deleted ? colour.failed : entry.created ? colour.ready : colour.dim
  c.lineWidth = 1.8
  if (entry.deleted) {
    c.beginPath(); c.moveTo(x - 3, y - 3); c.lineTo(x + 3, y + 3); c.moveTo(x + 3, y - 3); c.lineTo(x - 3, y + 3); c.stroke()
  } else if (entry.created) {
    c.fillRect(x - 3.5, y - 3.5, 7, 7)
  } else {
    c.fillRect(x - 1.25, y - 4.5, 2.5, 9)
  }
  c.globalAlpha = 1
}

// causeOf finds the change that led to another one: what the component's step names as its cause, where that is recorded.
export function causeOf(entry) {
  const step = world.steps.get(entry.cause)
  if (!step?.cause) return null
  const parts = step.cause.split(' ')[0].split('/')
  if (parts.length < 2) return null
  const [resource, ns, name] = parts.length === 3 ? parts : [parts[0], '', parts[1]]
  return world.changes.findLast(each => each.rev < entry.rev && each.name === name && (each.ns || '') === ns && each.resource.split('.')[0] === resource) || null
}

function arrow(c, place, colour) {
  const entry = current()
  const cause = entry && causeOf(entry)
  if (!cause) return
  const from = shownChanges.indexOf(cause), to = shownChanges.indexOf(entry)
  if (from < 0 || to < 0) return
  const x1 = xOf(from), y1 = place.get(cause.lane), x2 = xOf(to), y2 = place.get(entry.lane)
  c.strokeStyle = c.fillStyle = colour.accent
  c.lineWidth = 1.5
  c.beginPath(); c.moveTo(x1, y1); c.bezierCurveTo((x1 + x2) / 2, y1, (x1 + x2) / 2, y2, x2 - 5, y2); c.stroke()
  c.beginPath(); c.moveTo(x2 - 3, y2); c.lineTo(x2 - 9, y2 - 3.5); c.lineTo(x2 - 9, y2 + 3.5); c.fill()
  c.beginPath(); c.arc(x1, y1, 5.5, 0, 7); c.stroke()
}

// indexAt is the newest change at or before a revision, -1 for none.
function indexAt(rev) {
  let low = 0, high = shownChanges.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (shownChanges[middle].rev <= rev) low = middle + 1
    else high = middle
  }
  return low - 1
}

// current is the change that is told about: the one under the pointer, the one that is looked at, or the newest.
function current() {
  if (hovered && shownChanges.includes(hovered)) return hovered
  return shownChanges[indexAt(world.view.rev)]
}

// sentence says in words what a change was.
export function sentence(entry) {
  const verb = entry.deleted ? 'deleted' : entry.created ? 'created' : 'changed'
  return t('said.' + verb, { who: entry.actor === 'kubernetes-admin' ? t('lane.you') : who(entry.actor), what: `${entry.kind || entry.resource.split('.')[0]} ${entry.ns ? entry.ns + '/' : ''}${entry.name}`, sub: entry.verb?.includes('/') ? entry.verb.split('/').slice(1).join('/') : '' })
}

// because is what a component's step was for; "" where nothing was.
export function because(entry) {
  if (!entry.cause) return ''
  return causeText(world.steps.get(entry.cause)?.cause) || t('cause.unknown')
}

// The words for causes come from the cluster's catalogue, when they are needed. A key with holes is a form.
let causes = {}, forms = [], causesOf = ''
async function readCauses() {
  const language = lang()
  if (causesOf === language) return
  causesOf = language
  try {
    const got = await ask(`/kubette/texts/${language}` + query({ prefix: 'cause' }))
    if (language !== lang()) return
    causes = got
    forms = Object.keys(got).filter(key => key.startsWith('cause.') && key.includes('{'))
      .map(key => [key, new RegExp('^' + key.slice(6).replace(/\{(\w+)\}/g, '(?<$1>.+?)') + '$')])
    redraw()
  } catch { causesOf = '' }
}

// causeText puts a component's sentence into words, as explain.CauseText does: an object, perhaps, and what happened to it.
export function causeText(cause = '') {
  const object = /^\S*\/\S* /.exec(cause)?.[0] || ''
  return inWords(cause) ?? (object && inWords(cause.slice(object.length)) !== undefined ? object + inWords(cause.slice(object.length)) : cause)
}

function inWords(phrase) {
  if (causes['cause.' + phrase] !== undefined) return causes['cause.' + phrase]
  for (const [key, form] of forms) {
    const values = form.exec(phrase)?.groups
    if (values) return fill(causes[key], Object.fromEntries(Object.entries(values).map(([name, value]) => [name, causes['causevalue.' + value] ?? value])))
  }
}

function line() {
  const entry = current()
  const live = !revision()
  render(parts.line,
    h('button', { class: 'plain', 'data-act': 'tl.fold', 'aria-expanded': String(!folded), title: t('timeline.fold'), 'aria-label': t('timeline.fold') }, folded ? '▸' : '▾'),
    h('div', { class: 'group', role: 'group', 'aria-label': t('timeline.steps') },
      h('button', { 'data-act': 'tl.step', 'data-arg': '-1', class: 'by', title: t('key.step') + ' (,)', 'aria-label': t('timeline.back') }, '◀'),
      h('button', { 'data-act': 'tl.play', title: live ? t('timeline.stop') : t('timeline.live'), 'aria-label': live ? t('timeline.stop') : t('timeline.live') }, live ? '❚❚' : '●'),
      h('button', { 'data-act': 'tl.step', 'data-arg': '1', title: t('key.step') + ' (.)', 'aria-label': t('timeline.forward'), disabled: live }, '▶')),
    entry ? h('p', { class: 'what' }, h('span', { class: 'num' }, '#' + entry.rev), ' ', h('span', { class: 'dim num' }, entry.time ? clock(entry.time) : ''), ' ',
      h('a', { href: '#', 'data-act': 'select', 'data-arg': entry.id }, sentence(entry)),
      entry.verb && !entry.created && !entry.deleted ? h('span', { class: 'dim' }, ' (' + entry.verb + ')') : null,
      because(entry) ? h('span', { class: 'dim' }, ' ← ' + because(entry)) : null) : h('p', { class: 'what dim' }, t('timeline.empty')),
    entry ? h('button', { class: 'small', 'data-act': 'from', 'data-arg': world.view.rev, title: t('diff.do') + ' (=)' }, '± ' + t('diff.short')) : null,
    h('label', { class: 'check' }, h('input', { type: 'checkbox', 'data-change': 'tl.all', checked: !world.quiet }), t('timeline.all')))
}

function slider() {
  const { canvas } = parts
  const entry = current()
  canvas.setAttribute('aria-label', t('timeline.slider'))
  canvas.setAttribute('aria-valuemin', String(world.oldest))
  canvas.setAttribute('aria-valuemax', String(world.live.rev))
  canvas.setAttribute('aria-valuenow', String(world.view.rev))
  canvas.setAttribute('aria-valuetext', `${world.view.rev}${entry ? ': ' + sentence(entry) : ''}`)
}

const indexUnder = event => Math.round(rightEdge() - (width - 14 - event.offsetX) / pitch)

function hover(event) {
  const found = shownChanges[indexUnder(event)] || null
  if (found === hovered) return
  hovered = found
  draw()
}

function grab(event) {
  parts.canvas.setPointerCapture(event.pointerId)
  drag(event)
}

let wanted = null
function drag(event) {
  hovered = null
  const index = indexUnder(event)
  const rev = index >= shownChanges.length - 1 && scroll === 0 && event.offsetX > width - 10 ? '' : shownChanges[Math.max(0, Math.min(index, shownChanges.length - 1))]?.rev
  if (rev === undefined) return
  if (wanted === null) requestAnimationFrame(() => { const to = wanted; wanted = null; set({ rev: to }) })
  wanted = rev
}

async function wheel(event) {
  event.preventDefault()
  const by = Math.sign(event.deltaX || event.deltaY) * 6
  await move(by)
}

// move turns the window to older or newer changes.
async function move(by) {
  scroll = Math.max(0, scroll - by)
  const visible = Math.floor(width / pitch)
  if (scroll + visible > shownChanges.length) await older()
  choose()
  scroll = Math.max(0, Math.min(scroll, shownChanges.length - Math.min(visible, shownChanges.length)))
  draw()
}

function pressed(event) {
  const run = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), PageUp: () => move(-20), PageDown: () => move(20), Home: () => set({ rev: shownChanges[0]?.rev || '' }), End: () => set({ rev: '' }) }[event.key]
  if (!run) return
  event.preventDefault()
  event.stopPropagation()
  run()
  keepVisible()
}

function keepVisible() {
  const at = indexAt(revision() || world.live.rev)
  if (at > rightEdge() || xOf(at) < 10) { scroll = Math.max(0, shownChanges.length - 1 - at - Math.floor(width / pitch / 2)); draw() }
}

act('tl.fold', () => { folded = !folded; localStorage.setItem('kubette.folded', folded ? 'yes' : 'no'); draw() })
act('tl.step', by => { step(Number(by)); keepVisible() })
act('tl.play', () => { scroll = 0; set({ rev: revision() ? '' : world.live.rev }) })
act('tl.all', async (_, element) => {
  world.quiet = !element.checked
  localStorage.setItem('kubette.all', world.quiet ? 'no' : 'yes')
  draw()
  await again()
  draw()
})
