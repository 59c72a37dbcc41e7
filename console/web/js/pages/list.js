// A list of the objects of one resource, with kubectl's own columns, which the API server makes. It is what every map says,
// as text.

import { h, $, render, act } from '../dom.js'
import { t } from '../i18n.js'
import { world, withGone } from '../model.js'
import { param, where, revision, set, go, address } from '../url.js'
import { ask, path, at, query, rows, others, rowOf, idOf, kubectl } from '../api.js'
import * as status from '../status.js'
import { badge } from '../status.js'

const rowHeight = 30
const overscan = 12

let root, box, table = null, resource = '', key = '', problem = '', reading = false, again = false, before = [], beforeOf = '', sorted = { column: -1, down: false }

export function mount(main) {
  root = main
  table = null
  key = ''
  root.append(h('div', { class: 'pagehead', 'data-key': 'head' }), h('div', { class: 'tablebox', 'data-key': 'box', 'data-own': '', tabindex: '0', role: 'region' }))
  box = root.querySelector('.tablebox')
  box.addEventListener('scroll', () => draw())
  box.addEventListener('keydown', pressed)
}

export function unmount() { root = null }

export function update(what) {
  resource = where().args[0] || 'pods'
  if (!rowOf(resource)) { go('list', ['pods']); return }
  const now = [resource, param('ns'), revision()].join()
  if (now !== key) { key = now; table = null; read() }
  else if (what.entries?.some(entry => entry.resource === resource)) read()
  readBefore()
  if (what.all || what.shell) { head(); draw() }
}

// readBefore reads the table as it was at the revision that is compared with.
async function readBefore() {
  const from = Number(param('from')), mine = [resource, param('ns'), from].join()
  if (mine === beforeOf) return
  beforeOf = mine
  before = []
  if (!from) return
  try {
    const got = await readTable(from)
    if (mine === beforeOf) before = got.rows
  } catch { return } // it is not kept any more: the summary says so
  if (root) { head(); draw() }
}

const readTable = rev => ask(path(resource, param('ns')) + query({ includeObject: 'Metadata', ...at(rev) }), { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' })

function head() {
  const row = rowOf(resource)
  const ns = param('ns')
  const command = kubectl('get', resource, row.namespaced ? ns : '', '', row.namespaced && !ns ? '-A' : '')
  render(root.querySelector('.pagehead'), h('h1', {}, t('page.list')),
    h('label', {}, h('span', { class: 'unseen' }, t('list.kind')), h('select', { 'data-change': 'list.kind', value: resource },
      h('optgroup', { label: t('list.followed') }, rows.map(each => h('option', { value: each.resource, selected: each.resource === resource }, each.plural))),
      h('optgroup', { label: t('list.others') }, others.map(each => h('option', { value: each.resource, selected: each.resource === resource }, each.plural))))),
    h('span', { class: 'dim num' }, table ? String(items().filter(row => !row.gone).length) : ''), h('code', {}, command), problem ? h('p', { class: 'problem' }, problem) : null)
}

act('list.kind', (_, element) => go('list', [element.value], { q: param('q') }))

// read asks the server for the table: once more when something changes meanwhile, but never twice at a time.
async function read() {
  if (reading) { again = true; return }
  reading = true
  const mine = key
  try {
    const got = await readTable(revision())
    if (mine === key) { table = got; problem = '' }
  } catch (error) {
    if (mine === key) { table = null; problem = error.message }
  }
  if (root) { head(); draw() }
  setTimeout(() => {
    reading = false
    if (again || mine !== key) { again = false; if (root) read() }
  }, table?.rows?.length > 300 ? 600 : 60)
}

function items() {
  const q = param('q').toLowerCase()
  let list = table ? withGone(table.rows || [], before, row => row.object.metadata.namespace + '/' + row.object.metadata.name) : []
  const wide = table?.columnDefinitions.map(column => column.priority > 0) // what is found must be seen
  if (q) list = list.filter(row => row.cells.some((cell, i) => !wide[i] && String(cell).toLowerCase().includes(q)) || row.object.metadata.namespace?.includes(q))
  if (sorted.column >= 0) {
    const order = new Intl.Collator('en', { numeric: true })
    list = [...list].sort((a, b) => order.compare(String(a.cells[sorted.column]), String(b.cells[sorted.column])) * (sorted.down ? -1 : 1))
  }
  return list
}

function draw() {
  if (!root) return
  box.setAttribute('aria-label', t('page.list') + ' ' + resource)
  if (!table) { box.replaceChildren(h('p', { class: 'empty' }, problem ? '' : t('loading'))); return }
  const row = rowOf(resource), spaces = row.namespaced && !param('ns')
  const shown = table.columnDefinitions.map((column, i) => ({ ...column, i })).filter(column => column.priority === 0 || innerWidth > 1500 && column.name !== 'Nominated Node' && column.name !== 'Readiness Gates')
  const list = items()
  const first = Math.max(0, Math.floor(box.scrollTop / rowHeight) - overscan)
  const last = Math.min(list.length, first + Math.ceil((box.clientHeight || 800) / rowHeight) + 2 * overscan)
  const followed = world.view.objects.has(resource)
  const fresh = h('div', {}, h('table', { 'aria-rowcount': list.length + 1 },
    h('thead', {}, h('tr', {}, followed ? h('th', { class: 'g' }, h('span', { class: 'unseen' }, t('list.state'))) : null, spaces ? h('th', {}, 'Namespace') : null,
      shown.map(column => h('th', { 'aria-sort': sorted.column === column.i ? (sorted.down ? 'descending' : 'ascending') : null }, h('button', { class: 'plain', 'data-act': 'list.sort', 'data-arg': column.i, title: column.description }, column.name, sorted.column === column.i ? (sorted.down ? ' ▾' : ' ▴') : ''))))),
    h('tbody', {}, first > 0 ? h('tr', { style: { height: first * rowHeight + 'px' } }) : null,
      list.slice(first, last).map((each, i) => line(each, shown, spaces, followed, first + i)),
      last < list.length ? h('tr', { style: { height: (list.length - last) * rowHeight + 'px' } }) : null)),
  list.length ? null : h('p', { class: 'empty' }, t('list.empty')))
  render(box, fresh)
  if (param('from')) import('../difference.js').then(({ mark }) => mark())
}

function line(each, shown, spaces, followed, index) {
  const { name, namespace } = each.object.metadata
  const id = idOf(resource, namespace, name)
  const object = followed && world.view.get(resource, namespace, name)
  const how = object && status.of(resource, object, world.view)
  return h('tr', { 'data-key': id, class: each.gone ? 'gone' : '', 'aria-description': each.gone ? t('diff.one.removed') : null, 'data-act': 'select', 'data-arg': id, 'aria-selected': String(param('sel') === id), 'aria-rowindex': index + 2 },
    followed ? h('td', { class: 'g' }, how ? badge(how.state) : '') : null, spaces ? h('td', {}, namespace) : null,
    shown.map(column => h('td', {}, column.name === 'Name' ? each.gone ? h('s', {}, name) : h('a', { href: address('object', [resource, namespace || '-', name]), 'data-act': 'open', 'data-arg': id }, String(each.cells[column.i])) : String(each.cells[column.i] ?? ''))))
}

act('list.sort', column => {
  column = Number(column)
  sorted = sorted.column !== column ? { column, down: false } : sorted.down ? { column: -1, down: false } : { column, down: true }
  draw()
})

function pressed(event) {
  if (!['ArrowDown', 'ArrowUp', 'Enter'].includes(event.key) || event.target.closest('thead')) return
  event.preventDefault()
  const list = items().map(each => idOf(resource, each.object.metadata.namespace, each.object.metadata.name))
  const at = list.indexOf(param('sel'))
  if (event.key === 'Enter') { if (at >= 0) { const [kind, ns, name] = list[at].split('/'); go('object', [kind, ns || '-', name], { sel: '' }) } return }
  const next = Math.max(0, Math.min(list.length - 1, at + (event.key === 'ArrowDown' ? 1 : -1)))
  if (!list[next]) return
  set({ sel: list[next] })
  const top = next * rowHeight
  if (top < box.scrollTop) box.scrollTop = top
  if (top > box.scrollTop + box.clientHeight - 3 * rowHeight) box.scrollTop = top - box.clientHeight + 3 * rowHeight
}
