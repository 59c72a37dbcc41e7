// Wanted against present, as a tree: what each user asked for, what there is of it, and in one sentence what is being done
// about the difference, or what blocks it. The sentences are the cluster's own: the page guesses nothing.

import { h, render } from '../dom.js'
import { t, lang } from '../i18n.js'
import { param, revision } from '../url.js'
import { ask, query, idOf } from '../api.js'
import { badge } from '../status.js'
import { world, withGone } from '../model.js'

const states = { stopping: 'terminating', done: 'succeeded' }
const stateOf = row => states[row.state] || row.state

let root, found = null, problem = '', reading = false, again = false, key = '', before = [], beforeOf = ''

export function mount(main) {
  root = main
  key = ''
  root.append(h('div', { class: 'pagehead', 'data-key': 'head' }), h('div', { 'data-key': 'tree', class: 'card trees' }))
}
export function unmount() { root = null }

export function update(what) {
  const now = [param('ns'), revision(), lang()].join()
  if (now !== key) { key = now; read() }
  else if (what.entries?.some(entry => world.view.objects.has(entry.resource) || entry.resource === 'events')) read()
  readBefore()
  if (what.all || what.shell) draw()
}

// readBefore reads the tree as it was at the revision that is compared with.
async function readBefore() {
  const from = Number(param('from')), mine = [param('ns'), lang(), from].join()
  if (mine === beforeOf) return
  beforeOf = mine
  before = []
  if (!from) return
  try {
    const got = await readTree(from)
    if (mine === beforeOf) before = got.rows || []
  } catch { return } // it is not kept any more: the summary says so
  if (root) draw()
}

const readTree = rev => ask('/kubette/diff' + query({ namespace: param('ns'), lang: lang(), ...(rev ? { revision: rev } : {}) }))
const idOfRow = ({ object }) => idOf(object.resource + (object.group ? '.' + object.group : ''), object.namespace, object.name)
const every = rows => rows.flatMap(row => [row, ...every(row.parts || [])])

// merged is the tree with what was in the one before and is nowhere now, as ghosts.
function merged(now, before, there = new Set(every(now).filter(row => row.object.kind !== 'container').map(idOfRow))) {
  const known = new Map(before.map(row => [idOfRow(row), row]))
  return withGone(now, before, idOfRow).filter(row => !row.gone || !there.has(idOfRow(row)))
    .map(row => ({ ...row, differs: row.differs && !row.gone, parts: merged(row.gone ? [] : row.parts || [], (row.gone ? row : known.get(idOfRow(row)))?.parts || [], there) }))
}

async function read() {
  if (reading) { again = true; return }
  reading = true
  const mine = key
  try {
    const got = await readTree(revision())
    if (mine === key) { found = got.rows; problem = '' }
  } catch (error) { if (mine === key) problem = error.message }
  if (root) draw()
  setTimeout(() => { reading = false; if (root && (again || mine !== key)) { again = false; read() } }, found?.length > 50 ? 1000 : 150)
}

function draw() {
  if (!root) return
  const q = param('q').toLowerCase()
  const list = (before.length ? merged(found || [], before) : found || []).filter(row => !q || JSON.stringify(row).toLowerCase().includes(q))
  render(root.querySelector('.pagehead'), h('h1', {}, t('page.workloads')), h('code', {}, 'kubette diff' + (param('ns') ? ' -n ' + param('ns') : ' -A')), problem ? h('p', { class: 'problem' }, problem) : null)
  render(root.querySelector('.trees'), found ? list.length ? rows(list) : h('p', { class: 'empty' }, t('cluster.nothing')) : h('p', { class: 'empty' }, t('loading')))
}

// rows draws a tree: what differs comes first, and what is hidden is counted.
export function rows(list, limit = 30) {
  const sorted = [...list].sort((a, b) => b.differs - a.differs)
  return h('table', { class: 'difftree' }, h('thead', {}, h('tr', {}, h('th', {}, t('what')), h('th', { class: 'n' }, t('wanted')), h('th', { class: 'n' }, t('there')), h('th', { class: 'n' }, t('Ready')), h('th', {}, t('why.so')))),
    h('tbody', {}, sorted.flatMap(row => flat(row, 0, limit))))
}

function flat(row, depth, limit, above = '') {
  const { object } = row
  const id = idOfRow(row), key = above + ' ' + id // containers of many pods have the same name
  const parts = [...(row.parts || [])].sort((a, b) => b.differs - a.differs)
  const numbers = !row.gone && (row.wanted !== 1 || row.present !== 1 || depth === 0 || row.parts?.length)
  return [h('tr', { 'data-key': key, 'data-act': 'select', 'data-arg': id, class: row.gone ? 'gone' : row.differs ? 'differs' : '', 'aria-selected': String(param('sel') === id) },
    h('td', { style: { '--depth': depth }, class: 'branch' }, row.gone ? null : [badge(stateOf(row)), ' '], h('span', { class: 'kind' }, object.kind), ' ', row.gone ? h('s', {}, object.name) : h('a', { href: '#', 'data-act': 'select', 'data-arg': id }, object.name), depth === 0 && object.namespace && !param('ns') ? h('span', { class: 'dim' }, ' ' + object.namespace) : null),
    h('td', { class: 'n' }, numbers ? row.wanted : ''), h('td', { class: 'n' }, numbers ? row.present : ''), h('td', { class: 'n' }, numbers ? row.ready : ''), h('td', { class: 'sentence' }, row.gone ? t('diff.one.removed') : row.text)),
  ...parts.slice(0, limit).flatMap(part => flat(part, depth + 1, limit, key)),
  parts.length > limit ? h('tr', { 'data-key': key + ' more' }, h('td', { class: 'dim branch', colspan: 5, style: { '--depth': depth + 1 } }, t('more', { n: parts.length - limit }))) : null]
}
