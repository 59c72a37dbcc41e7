// The cluster as a map: what is wanted, what waits for a node, and each node with its pods.
//
// A thousand pods may change many times a second. So a pod's element is made once and touched only when what it shows has
// changed, and of the nodes only those are counted again whose pods have.

import { h, $, render, act, reducedMotion } from '../dom.js'
import { t, lang, age } from '../i18n.js'
import { world, controller } from '../model.js'
import { param, set, go, revision } from '../url.js'
import { ask, post, idOf, kubectl } from '../api.js'
import * as status from '../status.js'
import { glyphs, badge } from '../status.js'
import { toast, say } from '../main.js'

const tilesAbove = 45 // pods: above it they are tiles without names
const barsAbove = 1500 // above it a node's pods are counted
const flightsAtMost = 50 // pods that move at the same time
const tray = ''

let root, parts
let cards = new Map() // nodes, by name; "" is the tray
let chips = new Map() // pods, by id
let shown = null // the model that is shown
let density = ''
let cursor = '' // the pod at which the keyboard is

export function mount(main) {
  root = main
  cards = new Map()
  chips = new Map()
  shown = null
  density = ''
  parts = {
    head: h('div', { class: 'pagehead', 'data-key': 'head' }),
    wanted: h('section', { class: 'wanted', 'data-key': 'wanted' }),
    map: h('div', { class: 'map', 'data-own': '', 'data-key': 'map', id: 'map', tabindex: '0', role: 'listbox' }),
  }
  root.append(parts.head, parts.wanted, parts.map)
  parts.map.addEventListener('click', clicked)
  parts.map.addEventListener('keydown', pressed)
  parts.map.addEventListener('dblclick', event => { const chip = event.target.closest('.pod'); if (chip) open(chip.dataset.id) })
  readFaults()
}

export function unmount() { root = null }

export function update(what) {
  const model = world.view
  const whole = what.all || model !== shown && !what.moved
  shown = model
  if (whole) syncAll(model)
  else if (what.entries) sync(model, what.entries, !what.moved)
  if (whole || what.entries || what.shell) {
    mark()
    head(model)
    wanted(model)
  }
}

function head(model) {
  const total = chips.size
  const states = {}
  for (const chip of chips.values()) if (chip.visible) states[chip.state] = (states[chip.state] || 0) + 1
  render(parts.head, h('h1', {}, t('page.cluster')),
    h('p', { class: 'dim' }, t('cluster.summary', { nodes: model.list('nodes').length, pods: total })),
    h('ul', { class: 'counts' }, Object.keys(glyphs).filter(state => states[state]).map(state => h('li', { 'data-key': state }, badge(state), ' ', String(states[state]), ' ', h('span', { class: 'dim' }, t('state.' + state, { n: states[state] }))))),
    faults.length ? h('ul', { class: 'faults' }, faults.map(fault => h('li', { 'data-key': fault.name }, '⚡ ' + t('fault.' + fault.kind) + (fault.target ? ' ' + fault.target : ''),
      h('button', { class: 'small', 'data-act': 'fault.undo', 'data-arg': fault.name }, t('fault.undo'))))) : null)
}

const kinds = ['deployments.apps', 'statefulsets.apps', 'daemonsets.apps', 'jobs.batch', 'cronjobs.batch']

// wanted shows what users asked for, beside what there is.
function wanted(model) {
  const ns = param('ns')
  const all = kinds.flatMap(resource => model.list(resource, ns).filter(object => !controller(object)).map(object => ({ resource, object })))
  all.sort((a, b) => a.object.metadata.creationTimestamp < b.object.metadata.creationTimestamp ? -1 : a.object.metadata.creationTimestamp > b.object.metadata.creationTimestamp ? 1 : a.object.metadata.name < b.object.metadata.name ? -1 : 1)
  const limit = 60
  parts.wanted.setAttribute('aria-label', t('cluster.wanted'))
  render(parts.wanted, h('h2', {}, t('cluster.wanted')), all.length
    ? h('ul', {}, all.slice(0, limit).map(({ resource, object }) => workload(resource, object)), all.length > limit ? h('li', { class: 'dim' }, t('more', { n: all.length - limit })) : null)
    : h('p', { class: 'empty' }, t('cluster.nothing') + ' ', h('a', { href: '#/apply' }, t('cluster.start'))))
}

function workload(resource, object) {
  const { name, namespace } = object.metadata
  const how = status.of(resource, object, shown) || { state: 'ready', wanted: 0, there: 0, ready: 0, text: object.spec.suspend ? t('suspended') : object.spec.schedule }
  const id = idOf(resource, namespace, name)
  const dots = how.wanted !== undefined && how.wanted <= 12
    ? Array.from({ length: Math.max(how.wanted, how.there) }, (_, i) => h('i', { class: i < how.ready ? 'on' : i < how.there ? (i >= how.wanted ? 'extra' : 'half') : 'off' }))
    : how.wanted ? h('b', { class: 'gauge' }, h('i', { style: { width: 100 * Math.min(1, how.ready / how.wanted) + '%' } })) : null
  return h('li', { 'data-key': id }, h('button', { class: 'workload ' + how.state, 'data-act': 'select', 'data-arg': id, 'aria-pressed': String(param('sel') === id) },
    badge(how.state), h('span', { class: 'kind' }, object.kind), h('strong', {}, name), h('span', { class: 'dots', 'aria-hidden': 'true' }, dots),
    h('span', { class: 'num' }, how.text, h('span', { class: 'unseen' }, ' ' + t('ready')))))
}

// syncAll brings the whole map to a model: also when that is another moment.
function syncAll(model) {
  const pods = model.objects.get('pods')
  const count = pods.size
  setDensity(count)
  const nodes = model.list('nodes').sort((a, b) => order(a) - order(b) || natural(a.metadata.name, b.metadata.name))
  const names = new Set([tray, ...nodes.map(node => node.metadata.name)])
  card(tray)
  for (const node of nodes) card(node.metadata.name)
  for (const name of cards.keys()) if (!names.has(name)) { cards.get(name).el.remove(); cards.delete(name) }
  const nodesBox = nodesElement()
  let at = nodesBox.firstChild
  for (const node of nodes) {
    const el = cards.get(node.metadata.name).el
    if (el === at) at = at.nextSibling
    else nodesBox.insertBefore(el, at)
  }
  for (const id of [...chips.keys()]) if (!pods.has(id.slice('pods/'.length))) drop(id)
  const sorted = [...pods.values()].sort(older)
  for (const pod of sorted) put(pod, model)
  for (const one of cards.values()) one.dirty = true
  finish(model)
}

const order = node => 'node-role.kubernetes.io/control-plane' in (node.metadata.labels || {}) ? 0 : 1
const collator = new Intl.Collator('en', { numeric: true })
const natural = (a, b) => collator.compare(a, b)
const ageKey = pod => pod.metadata.creationTimestamp + '/' + pod.metadata.namespace + '/' + pod.metadata.name
const older = (a, b) => { const x = ageKey(a), y = ageKey(b); return x < y ? -1 : x > y ? 1 : 0 }

function setDensity(count) {
  const now = count > barsAbove ? 'bars' : count > tilesAbove ? 'tiles' : 'rows'
  if (now === density) return
  density = now
  parts.map.dataset.density = now
  for (const chip of chips.values()) chip.sign = ''
}

function nodesElement() {
  let box = parts.map.querySelector('.nodes')
  if (!box) { box = h('div', { class: 'nodes', role: 'presentation' }); parts.map.append(box) }
  return box
}

// card makes a node's box, or the tray of those that wait for a node.
function card(name) {
  if (cards.has(name)) return cards.get(name)
  const one = { name, dirty: true, pods: new Set() }
  one.title = h('header', {})
  one.bars = h('div', { class: 'bars' })
  one.box = h('div', { class: 'pods', role: 'presentation' })
  one.el = h('section', { class: name ? 'node' : 'node tray', role: 'group', 'data-node': name }, one.title, one.bars, one.box)
  cards.set(name, one)
  if (name) nodesElement().append(one.el)
  else parts.map.prepend(one.el)
  return one
}

// sync takes in what has changed: each object once, however often it was written.
function sync(model, entries, moves) {
  let nodes = false
  const pods = new Set(), flights = moves ? departures(model, entries) : []
  for (const entry of entries) {
    if (entry.resource === 'pods') pods.add(idOf('pods', entry.ns, entry.name))
    if (entry.resource !== 'nodes') continue
    const one = cards.get(entry.name), node = model.get('nodes', '', entry.name)
    if (!one || !node) { nodes = true; continue }
    one.dirty = true
    if (status.nodeState(node).state !== one.state) for (const id of one.pods) pods.add(id)
  }
  for (const id of pods) {
    const pod = model.find(id)
    if (pod) put(pod, model)
    else drop(id)
  }
  const before = density
  setDensity(model.objects.get('pods').size)
  if (nodes || before !== density) { syncAll(model); return }
  finish(model)
  fly(flights)
}

// departures are the pods that move to another node, and where they are now: asked before anything is changed, because each
// answer after a change would lay out the page again.
function departures(model, entries) {
  const flights = []
  if (density === 'bars' || reducedMotion()) return flights
  for (const entry of entries) {
    const chip = entry.resource === 'pods' && chips.get(idOf('pods', entry.ns, entry.name))
    const pod = chip && model.find(chip.id)
    if (!pod || !chip.home || chip.home.name === (pod.spec.nodeName || tray)) continue
    flights.push({ chip, from: chip.el.getBoundingClientRect() })
    if (flights.length >= flightsAtMost) break
  }
  return flights
}

function finish(model) {
  for (const one of cards.values()) {
    if (one.dirty) { one.dirty = false; count(one, model) }
  }
}

// put brings one pod's element up to date, and to where the pod is.
function put(pod, model) {
  const id = idOf('pods', pod.metadata.namespace, pod.metadata.name)
  const home = cards.get(pod.spec.nodeName || tray) || card(tray)
  let chip = chips.get(id)
  if (!chip) {
    chip = { id, key: ageKey(pod), el: h('div', { class: 'pod', role: 'option', id: 'pod-' + id, 'data-id': id, 'aria-selected': 'false' }), sign: '', home: null }
    chips.set(id, chip)
  }
  const how = status.pod(pod, model.get('nodes', '', pod.spec.nodeName))
  const sign = [density, how.state, how.text, how.ready, how.of].join()
  if (chip.sign !== sign) {
    chip.sign = sign
    chip.state = how.state
    chip.text = how.text
    if (density !== 'bars') draw(chip, pod, how)
    home.dirty = true
  }
  if (!chip.requests) chip.requests = status.requests(pod)
  chip.over = how.state === 'succeeded' || how.state === 'failed' && pod.status?.phase === 'Failed'
  if (chip.home !== home) {
    if (chip.home) { chip.home.pods.delete(id); chip.home.dirty = true }
    chip.home = home
    home.pods.add(id)
    home.dirty = true
    if (density !== 'bars') insert(home.box, chip)
  } else if (density !== 'bars' && chip.el.parentNode !== home.box) {
    insert(home.box, chip)
  }
}

// insert keeps pods in the order of their age, so that nothing jumps when one comes.
function insert(box, chip) {
  let at = null
  for (let before = box.lastChild; before; before = before.previousSibling) {
    const other = chips.get(before.dataset.id)
    if (!other || other.key <= chip.key) break
    at = before
  }
  box.insertBefore(chip.el, at)
}

function draw(chip, pod, how) {
  const { el } = chip
  el.className = 'pod ' + how.state
  const label = `${pod.metadata.name}, ${how.text}, ${t('containers.ready', { ready: how.ready, of: how.of })}`
  el.setAttribute('aria-label', label)
  el.title = pod.metadata.namespace + '/' + label
  if (density === 'tiles') { el.replaceChildren(glyphs[how.state]); return }
  el.replaceChildren(h('span', { class: 'g', 'aria-hidden': 'true' }, glyphs[how.state]), h('span', { class: 'name' }, pod.metadata.name), h('span', { class: 'what' }, how.text))
}

function drop(id) {
  const chip = chips.get(id)
  if (!chip) return
  chips.delete(id)
  chip.el.remove()
  if (chip.home) { chip.home.pods.delete(id); chip.home.dirty = true }
}

// count brings a node's heading and bars up to date.
function count(one, model) {
  if (!one.name) {
    one.el.setAttribute('aria-label', t('cluster.tray'))
    render(one.title, h('h2', {}, t('cluster.tray')), h('span', { class: 'dim' }, one.pods.size ? String(one.pods.size) : t('cluster.tray.empty')))
    one.el.classList.toggle('idle', one.pods.size === 0)
    countStates(one)
    return
  }
  const node = model.get('nodes', '', one.name)
  if (!node) return
  const how = status.nodeState(node)
  one.state = how.state
  let cpu = 0, memory = 0, pods = 0
  for (const id of one.pods) {
    const chip = chips.get(id)
    if (chip.over) continue
    cpu += chip.requests.cpu
    memory += chip.requests.memory
    pods++
  }
  const can = node.status.allocatable || {}
  const id = idOf('nodes', '', one.name)
  const sign = [lang(), how.state, how.text, order(node)].join()
  if (one.sign !== sign) {
    one.sign = sign
    one.gauges = {}
    one.bars.replaceChildren()
    one.el.className = 'node ' + how.state
    one.el.setAttribute('aria-label', one.name + ', ' + how.text)
    render(one.title, h('button', { class: 'nodename', 'data-act': 'select', 'data-arg': id }, badge(how.state), h('h2', {}, one.name)),
      order(node) === 0 ? h('span', { class: 'tag' }, t('node.controlplane')) : null, how.text === 'Ready' ? null : h('span', { class: 'tag warn' }, how.text),
      h('span', { class: 'grow' }),
      h('button', { class: 'plain', 'data-act': 'node.menu', 'data-arg': one.name, 'aria-label': t('node.menu', { name: one.name }), title: t('node.menu', { name: one.name }) }, '⋯'))
  }
  gauge(one, 'CPU', cpu, status.quantity(can.cpu), v => v >= 10 ? Math.round(v) : Math.round(v * 100) / 100)
  gauge(one, t('memory'), memory, status.quantity(can.memory), status.bytes)
  gauge(one, 'pods', pods, status.quantity(can.pods), v => v)
  countStates(one)
}

// gauge brings one of a node's bars up to date. Whoever moves through history changes all bars of all nodes in a frame, so that
// each is made once, and then only what it says is changed.
function gauge(one, name, used, of, show) {
  let g = one.gauges[name]
  if (!g) {
    g = one.gauges[name] = { fill: h('i', {}), number: h('span', { class: 'num' }) }
    g.bar = h('b', { class: 'gauge', role: 'img' }, g.fill)
    g.el = h('div', {}, h('span', {}, name), g.bar, g.number)
    one.bars.append(g.el)
  }
  const part = of ? Math.min(1, used / of) : 0, number = `${show(used)}/${show(of)}`
  if (g.part === part && g.number.textContent === number) return
  const text = `${name}: ${t('requested', { used: show(used), of: show(of) })}`
  g.part = part
  g.number.textContent = number
  g.fill.style.width = 100 * part + '%'
  g.el.className = 'bar' + (part > 0.9 ? ' full' : '')
  g.el.title = text
  g.bar.setAttribute('aria-label', text)
}

// countStates shows a node's pods as counts, when there are too many to show each.
function countStates(one) {
  if (density !== 'bars') { if (one.counted) { one.counted = false; one.box.classList.remove('counted'); one.box.replaceChildren(); for (const id of one.pods) { chips.get(id).sign = '' } } return }
  const states = {}
  for (const id of one.pods) { const { state } = chips.get(id); states[state] = (states[state] || 0) + 1 }
  one.counted = true
  one.box.classList.add('counted')
  one.box.replaceChildren(...Object.keys(glyphs).filter(state => states[state]).map(state => h('div', { class: 'count ' + state }, badge(state), h('b', { class: 'gauge' }, h('i', { style: { width: 100 * states[state] / one.pods.size + '%' } })), String(states[state]))))
}

// fly moves pods from where they were to where they are.
function fly(flights) {
  const places = flights.map(({ chip }) => chip.el.getBoundingClientRect())
  for (const [i, { chip, from }] of flights.entries()) {
    const to = places[i]
    if (!from.width || !to.width) continue
    chip.el.animate([{ transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)`, zIndex: 5 }, { transform: 'none', zIndex: 5 }], { duration: 280, easing: 'cubic-bezier(.2,.7,.3,1)' })
  }
}

// mark greys what does not match what is searched, the namespace and the selected workload, and shows the selection.
let marked = ''
function mark() {
  const ns = param('ns'), q = param('q').toLowerCase(), sel = param('sel')
  const family = sel && !sel.startsWith('pods/') && !sel.startsWith('nodes/') ? familyOf(sel) : null
  const filtered = Boolean(ns || q || family)
  if (!filtered && marked === 'none' + sel) {
    for (const chip of chips.values()) if (chip.visible === undefined) chip.visible = true
    return
  }
  marked = filtered ? '' : 'none' + sel
  for (const chip of chips.values()) {
    const [, space, name] = chip.id.split('/')
    chip.visible = (!ns || space === ns) && (!q || name.includes(q) || space.includes(q) || chip.text.toLowerCase().includes(q)) && (!family || family.has(chip.id))
    chip.el.classList.toggle('grey', !chip.visible)
    const selected = chip.id === sel
    if (selected !== (chip.el.getAttribute('aria-selected') === 'true')) chip.el.setAttribute('aria-selected', String(selected))
  }
  parts.map.setAttribute('aria-label', t('cluster.map'))
  for (const one of cards.values()) one.el.classList.toggle('selected', sel === 'nodes//' + one.name)
}

// familyOf are the pods that an object is responsible for.
export function familyOf(id) {
  const object = shown.find(id)
  if (!object) return null
  const uids = new Set([object.metadata.uid])
  for (const resource of ['replicasets.apps', 'jobs.batch']) for (const each of shown.list(resource, object.metadata.namespace)) if (uids.has(controller(each)?.uid)) uids.add(each.metadata.uid)
  const family = new Set()
  for (const pod of shown.list('pods', object.metadata.namespace)) if (uids.has(controller(pod)?.uid)) family.add(idOf('pods', pod.metadata.namespace, pod.metadata.name))
  return family
}

// The map is one stop of the Tab key; arrows go from pod to pod.
function clicked(event) {
  const chip = event.target.closest('.pod')
  if (!chip) return
  cursor = chip.dataset.id
  set({ sel: param('sel') === cursor ? '' : cursor })
}

function open(id) { const [resource, ns, name] = id.split('/'); go('object', [resource, ns, name], { sel: '' }) }

function pressed(event) {
  if (event.target !== parts.map) return
  const all = [...parts.map.querySelectorAll('.pod')]
  if (!all.length) return
  const at = all.findIndex(el => el.dataset.id === cursor)
  let next = at
  switch (event.key) {
    case 'ArrowRight': next = at + 1; break
    case 'ArrowLeft': next = at < 0 ? 0 : at - 1; break
    case 'ArrowDown': case 'ArrowUp': next = at < 0 ? 0 : beside(all, at, event.key === 'ArrowDown'); break
    case 'Home': next = 0; break
    case 'End': next = all.length - 1; break
    case 'Enter': if (at >= 0) { if (param('sel') === cursor) open(cursor); else set({ sel: cursor }) } event.preventDefault(); return
    default: return
  }
  event.preventDefault()
  next = Math.max(0, Math.min(all.length - 1, next))
  all[at]?.classList.remove('cursor')
  cursor = all[next].dataset.id
  all[next].classList.add('cursor')
  all[next].scrollIntoView({ block: 'nearest' })
  parts.map.setAttribute('aria-activedescendant', all[next].id)
}

// beside finds the pod below or above another one, as they are on the screen.
function beside(all, at, down) {
  const here = all[at].getBoundingClientRect()
  let best = at, least = Infinity
  for (const [i, el] of all.entries()) {
    const there = el.getBoundingClientRect()
    const y = down ? there.top - here.top : here.top - there.top
    if (y < 4) continue
    const far = y * 3 + Math.abs(there.left - here.left)
    if (far < least) { least = far; best = i }
  }
  return best
}

// Faults: what a user breaks to see what the cluster does.
let faults = []
async function readFaults() {
  try { faults = await ask('/kubette/faults') } catch { faults = [] }
  if (root && shown) head(shown)
}
async function fault(run, command) {
  try { await run(); toast(t('done'), command) } catch (error) { toast(error.message) }
  await readFaults()
}
act('fault.undo', name => fault(() => ask('/kubette/faults/' + encodeURIComponent(name), { method: 'DELETE' }), 'kubette fault undo ' + name))

act('node.menu', name => {
  let dialog = $('nodemenu')
  if (!dialog) { dialog = h('dialog', { id: 'nodemenu', class: 'menu' }); document.body.append(dialog) }
  const off = revision() > 0
  const node = world.view.get('nodes', '', name)
  const items = [['stop-node', `kubette fault stop-node ${name}`], ['cut-node', `kubette fault cut-node ${name}`], ['fill-node', `kubette fault fill-node ${name}`]]
  const cordoned = node?.spec?.unschedulable
  render(dialog, h('h2', {}, name), off ? h('p', { class: 'dim' }, t('past.off')) : null, h('ul', {},
    h('li', {}, h('button', { 'data-act': 'node.cordon', 'data-arg': name, disabled: off }, h('strong', {}, t(cordoned ? 'node.uncordon' : 'node.cordon')), h('code', {}, `kubectl ${cordoned ? 'un' : ''}cordon ${name}`))),
    items.map(([kind, command]) => h('li', {}, h('button', { 'data-act': 'node.fault', 'data-arg': kind + ' ' + name, disabled: off }, h('strong', {}, t('fault.do.' + kind)), h('span', { class: 'dim' }, t('fault.about.' + kind)), h('code', {}, command))))),
  h('button', { 'data-act': 'node.close' }, t('close')))
  dialog.showModal()
})
act('node.close', () => $('nodemenu').close())
act('node.fault', arg => {
  const [kind, target] = arg.split(' ')
  $('nodemenu').close()
  fault(() => post('/kubette/faults', { kind, target }), `kubette fault ${kind} ${target}`)
})
act('node.cordon', async name => {
  $('nodemenu').close()
  const cordoned = !world.live.get('nodes', '', name)?.spec?.unschedulable
  try {
    await ask('/api/v1/nodes/' + name + '?fieldManager=kubectl-cordon', { method: 'PATCH', type: 'application/merge-patch+json', body: JSON.stringify({ spec: { unschedulable: cordoned || null } }) })
    toast(t('done'), `kubectl ${cordoned ? '' : 'un'}cordon ${name}`)
  } catch (error) { toast(error.message) }
})
