// The machine: the components that make the cluster what it is, each with its queue, what it did last and why. Each can be
// stopped before its next step, and let take one step at a time.

import { h, render, act } from '../dom.js'
import { t, lang, clock, fill } from '../i18n.js'
import { world } from '../model.js'
import { param, set, revision } from '../url.js'
import { ask, post } from '../api.js'
import { causeText } from '../timeline.js'
import { toast } from '../main.js'

const groups = [
  ['scheduler', name => name === 'default-scheduler'],
  ['workloads', name => /^(deployment|replicaset|statefulset|daemonset|job|cronjob|replication|horizontal.*|disruption)-?/.test(name)],
  ['kubelets', name => name.startsWith('kubelet-')],
  ['network', name => /^(service-|endpoint|ingress|network)/.test(name)],
  ['others', () => true],
]
const stepsShown = 3

let root, last = new Map(), scanned = 0, texts = {}, textsOf = '', waiting = 0

export function mount(main) {
  root = main
  last = new Map()
  scanned = 0
  root.append(h('div', { class: 'pagehead', 'data-key': 'head' }), h('div', { 'data-key': 'body' }))
}
export function unmount() { root = null }

export function update(what) {
  if (textsOf !== lang()) { const asked = textsOf = lang(); ask('/kubette/texts/' + lang() + '?prefix=step.').then(got => { if (asked === textsOf) texts = got; if (root) draw() }, () => { textsOf = '' }) }
  if (!(what.all || what.shell || what.components || what.steps)) return
  if (what.all || what.shell || what.components) { draw(); return }
  if (!waiting) waiting = setTimeout(() => { waiting = 0; if (root) draw() }, 120) // steps come by the hundred
}

function draw() {
  last = new Map()
  for (const step of world.steps.values()) {
    const list = last.get(step.component) || last.set(step.component, []).get(step.component)
    list.push(step)
  }
  const q = param('q').toLowerCase()
  const left = new Set([...world.components.keys()].filter(name => !q || name.includes(q)))
  const paused = [...world.components.values()].filter(each => each.paused)
  render(root.querySelector('.pagehead'), h('h1', {}, t('page.machine')), h('p', { class: 'dim' }, t('machine.about')),
    paused.length ? h('button', { 'data-act': 'machine.all' }, t('machine.resumeall', { n: paused.length })) : null)
  render(root.children[1], groups.map(([group, belongs]) => {
    const names = [...left].filter(belongs).sort(new Intl.Collator('en', { numeric: true }).compare)
    for (const name of names) left.delete(name)
    if (!names.length) return null
    // Those that did something come before those that never did.
    names.sort((a, b) => last.has(b) - last.has(a))
    return h('section', { 'data-key': group }, h('h2', { class: 'dim' }, t('machine.' + group)), h('div', { class: 'stations' }, names.map(station)))
  }))
}

function station(name) {
  const one = world.components.get(name)
  const steps = (last.get(name) || []).slice(-stepsShown).reverse()
  const off = revision() > 0
  const button = (action, sign, disabled) => h('button', { 'data-act': 'machine.' + action, 'data-arg': name, disabled: disabled || off, title: `kubette ${action} ${name}`, 'aria-label': t('machine.do.' + action) + ' ' + name }, sign)
  return h('article', { class: 'station' + (one.paused ? ' paused' : ''), 'data-key': name, id: 'station-' + name },
    h('header', {}, h('h3', {}, name), h('span', { class: 'tag', 'data-state': one.paused ? 'paused' : 'running' }, one.paused ? '❚❚ ' + t('machine.paused') : '▶ ' + t('machine.runs'))),
    h('p', {}, h('span', { class: 'dim' }, t('machine.queue') + ' '), h('strong', { class: 'num queue' }, String(one.queue)), h('span', { class: 'queuebar', 'aria-hidden': 'true' }, Array.from({ length: Math.min(one.queue, 12) }, () => h('i', {}))),
      h('span', { class: 'group steer', role: 'group', 'aria-label': name }, one.paused ? button('resume', '▶ ' + t('machine.do.resume')) : button('pause', '❚❚ ' + t('machine.do.pause')), button('step', '▸❘ ' + t('machine.do.step'), !one.paused))),
    steps.length ? h('ol', { class: 'steps' }, steps.map(step => h('li', { 'data-key': step.id }, h('span', { class: 'dim num' }, clock(step.time)), ' ', h('strong', {}, step.key), step.cause ? h('span', { class: 'dim' }, ' ← ' + causeText(step.cause)) : null,
      step.notes?.length ? h('div', {}, step.notes.map(note)) : null, step.error ? h('div', { class: 'problem' }, step.error) : null))) : h('p', { class: 'empty' }, t('machine.idle')))
}

// note is what a step noted: a reason with arguments, in words where the cluster's catalogue has them.
function note({ reason, args = {} }) {
  const text = texts['step.' + reason]
  return h('span', { class: 'note' }, text ? fill(text, args) : reason + Object.entries(args).map(([key, value]) => ` ${key}=${typeof value === 'object' ? JSON.stringify(value) : value}`).join(''), ' ')
}

async function steer(action, name) {
  try { await post(`/kubette/components/${encodeURIComponent(name)}/${action}`); toast(t('done'), `kubette ${action} ${name}`) } catch (error) { toast(error.message) }
}
for (const action of ['pause', 'resume', 'step']) act('machine.' + action, name => steer(action, name))
act('machine.all', () => { for (const one of world.components.values()) if (one.paused) steer('resume', one.name) })
