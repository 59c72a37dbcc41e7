// What differs between two revisions: the one that `from` names in the address, and the one that is shown. A summary stands above
// the page; on the page itself what was added or changed is marked, and lists and the tree show what was removed, at its place.

import { h, $, render } from './dom.js'
import { t } from './i18n.js'
import { world } from './model.js'
import { param, revision, where } from './url.js'
import { ask, query, watched, idOf, rowOf } from './api.js'

export const signs = { added: '+', changed: '±', removed: '−' }
const quiet = new Set(['events']) // they come with everything
const shownAtMost = 40
const livePause = 500 // milliseconds between two answers, for a busy cluster writes all the time

let of = '', problem = ''
let marks = new Map() // by id: added, changed or removed

// compare reads what differs, and shows it. Live it is asked again when something is written, but never twice at a time.
let asking = false, again = false
export async function compare() {
  const from = Number(param('from'))
  const on = from > 0 && where().page !== 'object' // that page compares the object's text
  document.documentElement.dataset.compared = on ? from : ''
  if (!on) { of = ''; marks.clear(); render($('difference')); unmark(); return }
  const to = world.view.rev, now = from + '-' + to
  if (now === of) { show(); return }
  if (of.startsWith(from + '-')) show() // what is known already, until the new answer comes
  if (asking) { again = true; return }
  asking = true
  try {
    const resources = watched.filter(resource => !quiet.has(resource)).join(',')
    const [before, after] = await Promise.all([ask('/console/delta' + query({ from: to, to: from, resources })), ask('/console/delta' + query({ from, to, resources }))])
    marks = differing(before.entries, after.entries)
    problem = ''
  } catch (error) { marks = new Map(); problem = error.message }
  of = now
  show()
  setTimeout(() => { asking = false; if (again) { again = false; compare() } }, revision() ? 0 : livePause)
}

const key = entry => idOf(entry.resource, entry.ns, entry.name)

// differing tells from the objects at either revision what became of each.
function differing(before, after) {
  const there = new Map(before.filter(each => !each.deleted).map(each => [key(each), each])), all = new Map()
  for (const each of after) {
    const was = there.get(key(each))
    if (each.deleted ? was : !was) all.set(key(each), each.deleted ? 'removed' : 'added')
    else if (was && each.object.metadata.uid !== was.object.metadata.uid || was && text(was) !== text(each)) all.set(key(each), 'changed')
  }
  return all
}

// text leaves out what any write changes.
function text({ object }) {
  const { managedFields, resourceVersion, ...metadata } = object.metadata
  return JSON.stringify({ ...object, metadata })
}

const here = id => { const ns = param('ns'), q = param('q').toLowerCase(), [, space, name] = id.split('/'); return (!ns || !space || space === ns) && (!q || name.includes(q)) }

function show() {
  const list = [...marks].filter(([id]) => here(id)).sort(([a], [b]) => a < b ? -1 : 1)
  const sum = how => list.filter(each => each[1] === how).length
  render($('difference'), h('p', {}, h('strong', {}, t('from.title', { from: param('from'), to: revision() || world.live.rev })), ' ',
    ...Object.keys(signs).map(how => h('span', { class: 'diffed ' + how }, signs[how] + ' ' + t('diff.' + how, { n: sum(how) }) + ' ')),
    h('button', { class: 'small', 'data-act': 'from.end' }, t('from.end'))),
  problem ? h('p', { class: 'problem' }, problem) : list.length ? h('details', {}, h('summary', {}, t('diff.list')), h('ul', {}, list.slice(0, shownAtMost).map(([id, how]) => h('li', { 'data-key': id, class: 'diffed ' + how }, named(id, how))), list.length > shownAtMost ? h('li', {}, t('more', { n: list.length - shownAtMost })) : null)) : h('p', {}, t('from.same')))
  mark()
}

// mark marks what is on the page.
export function mark() {
  unmark()
  for (const el of document.querySelectorAll('#main [data-id], #main [data-act=select][data-arg]')) {
    const how = marks.get(el.dataset.id || el.dataset.arg)
    if (!how) continue
    el.dataset.diff = signs[how]
    el.setAttribute('aria-description', t('diff.one.' + how))
  }
}

function named(id, how) {
  const [resource, ns, name] = id.split('/')
  const text = `${rowOf(resource)?.kind || resource} ${ns ? ns + '/' : ''}${name}`
  return [signs[how] + ' ', how === 'removed' ? h('s', {}, text) : h('a', { href: '#', 'data-act': 'select', 'data-arg': id }, text), h('span', { class: 'dim' }, ' ' + t('diff.one.' + how))]
}

function unmark() {
  for (const el of document.querySelectorAll('[data-diff]')) if (!marks.has(el.dataset.id || el.dataset.arg)) { delete el.dataset.diff; el.removeAttribute('aria-description') }
}
