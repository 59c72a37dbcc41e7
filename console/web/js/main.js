// The shell: the bar at the top, the pages, and when to draw. Whatever happens marks something as changed; once per frame
// what is visible is brought up to date, and then the page says which revision it shows: html[data-rev].

import { h, $, render, act, morph } from './dom.js'
import { t, lang, setLanguage } from './i18n.js'
import { where, param, revision, onMove, go, set, address } from './url.js'
import { world } from './model.js'
import { follow, travel } from './feed.js'
import { rowOfWord, idOf } from './api.js'
import * as timeline from './timeline.js'
import * as inspector from './inspector.js'
import { keys } from './keys.js'

const later = name => () => import(`./pages/${name}.js`)
const pages = {
  cluster: later('cluster'), workloads: later('workloads'), list: later('list'), object: later('object'), why: later('why'),
  machine: later('machine'), network: later('network'), apply: later('apply'), rollout: later('rollout'), legend: later('legend'),
}
const menu = [['cluster', '⬡'], ['workloads', '≟'], ['list', '☰'], ['network', '⇄'], ['machine', '⚙'], ['apply', '✎'], ['legend', '?']]

let page = null // the module of the page that is shown
let pageName = ''
let pending = { all: true } // what has changed since the last frame
let scheduled = false
let arrived = 0 // the revision that was travelled to

// changed marks something as changed. A hidden tab draws nothing.
function changed(what) {
  if (what.locked) { location.reload(); return }
  if (what.all) pending.all = true
  for (const name of ['entries', 'moved']) if (what[name]) pending[name] = (pending[name] || []).concat(what[name])
  for (const name of ['steps', 'components', 'traffic', 'connection', 'shell']) if (what[name]) pending[name] = true
  if (!scheduled) { scheduled = true; requestAnimationFrame(frame) }
}

export const redraw = () => changed({ all: true, shell: true })

function frame() {
  scheduled = false
  const what = pending
  pending = {}
  if (!world.live.rev) return
  const live = !revision()
  // What is written now is nothing to the past; and whoever moves sees what is different at the other moment.
  const shown = live && !what.moved ? what : { ...what, entries: what.moved && what.moved.concat(what.entries || []) }
  if (what.all || what.shell || what.connection) shell()
  else if (what.entries?.some(entry => entry.resource === 'namespaces')) bar()
  if (page && pageName === where().page) page.update(shown)
  inspector.update(shown)
  timeline.update(what)
  if (param('from') || $('difference').firstChild) import('./difference.js').then(({ compare }) => compare())
  document.documentElement.dataset.rev = world.view.rev
  document.documentElement.dataset.live = live
}

function shell() {
  bar()
  document.title = t('page.' + where().page) + ' · kubette'
  $('skip').textContent = t('skip')
  render($('nav'), h('ul', {}, menu.map(([name, icon]) => h('li', { 'data-key': name },
    h('a', { href: address(name), 'aria-current': where().page === name ? 'page' : null, title: t('page.' + name) },
      h('span', { class: 'icon', 'aria-hidden': 'true' }, icon), h('span', { class: 'label' }, t('page.' + name)))))))
  $('nav').setAttribute('aria-label', t('pages'))
  $('timeline').setAttribute('aria-label', t('timeline'))
  $('difference').setAttribute('aria-label', t('diff.list'))
  render($('banner'), revision() ? [h('strong', {}, t('past.title', { rev: revision() })), ' ' + t('past.text') + ' ',
    h('button', { 'data-act': 'live', class: 'small' }, t('past.back'))] : null)
}

function bar() {
  const names = world.view.list('namespaces').map(each => each.metadata.name).sort()
  const ns = param('ns')
  render($('top'),
    h('a', { class: 'brand', href: address('cluster') }, h('img', { src: '/icon.svg', alt: '', width: 22, height: 22 }), 'kubette'),
    h('label', {}, h('span', { class: 'dim' }, t('namespace')), h('select', { 'data-change': 'namespace', id: 'ns', value: ns },
      h('option', { value: '' }, t('namespace.all')), names.map(name => h('option', { value: name, selected: name === ns }, name)),
      ns && !names.includes(ns) ? h('option', { value: ns, selected: true }, ns) : null)),
    h('input', { id: 'find', type: 'search', 'data-input': 'find', value: param('q'), placeholder: t('find'), 'aria-label': t('find'), autocomplete: 'off', spellcheck: 'false' }),
    h('span', { class: 'grow' }),
    h('button', { class: 'badge ' + (revision() ? 'past' : world.connected ? 'live' : 'lost'), 'data-act': 'live', title: t('live.title') },
      h('span', { 'aria-hidden': 'true' }, revision() ? '❚❚ ' : world.connected ? '● ' : '○ '),
      revision() ? t('past.badge', { rev: revision() }) : world.connected ? t('live') : t('reconnecting')),
    h('div', { class: 'choice', role: 'group', 'aria-label': t('language') }, ['en', 'fr'].map(name =>
      h('button', { 'data-act': 'language', 'data-arg': name, 'aria-pressed': String(lang() === name), lang: name, title: name === 'en' ? 'English' : 'Français' }, name.toUpperCase()))),
    h('button', { 'data-act': 'theme', class: 'plain', title: t('theme'), 'aria-label': t('theme') }, '◑'),
    h('button', { 'data-act': 'help', class: 'plain', title: t('keys'), 'aria-label': t('keys') }, '⌨'))
}

// show brings the page of the address.
async function show() {
  const { page: name } = where()
  const load = pages[name]
  if (!load) { go('cluster'); return }
  let module
  try {
    module = await load()
  } catch (error) {
    toast(String(error.message))
    return
  }
  if (where().page !== name) return
  page?.unmount?.()
  page = module
  pageName = name
  const main = $('main')
  morph(main, document.createDocumentFragment())
  main.className = name
  page.mount(main)
  redraw()
}

// arrive takes the world to the revision of the address.
async function arrive() {
  const rev = revision()
  try {
    const moved = await travel(rev)
    if (!moved) return
    arrived = rev
    changed({ all: moved.all, moved: moved.entries, shell: true })
  } catch (error) {
    toast(error.message)
    set({ rev: '' })
  }
}

onMove((now, before) => {
  if (now.params.rev !== before.params.rev) {
    arrive()
    if (onlyRevision(now, before)) return
  }
  if (now.page !== before.page || now.args.join('/') !== before.args.join('/')) {
    if (now.page !== before.page || now.page !== 'list') { show(); if (now.page !== before.page) $('main').focus({ preventScroll: true }) }
  }
  redraw()
})

const onlyRevision = (now, before) => JSON.stringify({ ...now, params: { ...now.params, rev: 0 } }) === JSON.stringify({ ...before, params: { ...before.params, rev: 0 } })

act('from', rev => { set({ from: rev }, false); $('main').focus({ preventScroll: true }) })
act('from.end', () => set({ from: '' }, false))
act('live', () => set({ rev: '' }))
act('namespace', (_, element) => set({ ns: element.value }))
act('find', (_, element) => set({ q: element.value }))
act('language', async name => { await setLanguage(name); redraw() })
act('theme', () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === 'dark'
  theme(dark ? 'light' : 'dark')
  redraw()
})
act('select', id => { set({ sel: param('sel') === id ? '' : id }); say(id) })
act('open', id => { const [resource, ns, name] = id.split('/'); go('object', [resource, ns || '-', name], { sel: '' }) })
act('close', () => set({ sel: '' }))
act('help', () => help())

function theme(name) {
  if (name) localStorage.setItem('kubette.theme', name)
  document.documentElement.dataset.theme = name || localStorage.getItem('kubette.theme') || ''
}

function help() {
  let dialog = $('help')
  if (!dialog) { dialog = h('dialog', { id: 'help' }); document.body.append(dialog) }
  render(dialog, h('h2', {}, t('keys')), h('dl', { class: 'keys' }, keys().map(([key, text]) => [h('dt', {}, key.split(' ').map(one => h('kbd', {}, one))), h('dd', {}, text)])),
    h('form', { method: 'dialog' }, h('button', { autofocus: true }, t('close'))))
  dialog.querySelector('form').onsubmit = () => dialog.close()
  dialog.showModal()
}

// say tells a screen reader, politely and not too often.
let said = 0
export function say(text) {
  clearTimeout(said)
  said = setTimeout(() => { $('live').textContent = text }, 300)
}

// toast shows for some seconds what came of an action, or that something went wrong.
export function toast(text, command) {
  const box = h('div', { class: 'toast' }, h('p', {}, text), command ? h('code', {}, command) : null)
  $('toasts').append(box)
  setTimeout(() => box.remove(), 6000)
}

// command carries out what is typed after ":": a resource to list, or a page.
export function command(text) {
  const [word, name] = text.trim().split(/\s+/)
  const row = word && rowOfWord(word)
  if (pages[word] && word !== 'object') go(word)
  else if (row && name) go('object', [row.resource, row.namespaced ? param('ns') || 'default' : '-', name])
  else if (row) go('list', [row.resource])
  else toast(t('command.unknown', { word }))
}

// between steps through the changes: forward or back by one, of the selected object only or of all.
export function step(by, selected) {
  const here = world.view.rev
  const id = selected && param('sel')
  const all = world.changes.filter(each => !timeline.hidden(each) && (!id || each.id === id))
  const next = by < 0 ? all.findLast(each => each.rev < here) : all.find(each => each.rev > here)
  if (next) set({ rev: next.rev })
  else if (by > 0) set({ rev: '' })
}

theme()
keys({ go, set, param, revision, step, command, redraw, where, help })
timeline.mount($('timeline'))
inspector.mount($('inspector'))
document.addEventListener('visibilitychange', () => { if (!document.hidden) redraw() })
show()
follow(what => {
  if (what.all && revision() && revision() !== arrived) arrive()
  changed(what)
})
