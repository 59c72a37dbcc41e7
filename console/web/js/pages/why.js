// Why an object is as it is: what the cluster's own diagnosis finds, what led to it, newest first, and for a pod how each
// node did in each attempt of the scheduler to place it.

import { h, render, act } from '../dom.js'
import { t, lang, clock } from '../i18n.js'
import { where, param, set, revision, address } from '../url.js'
import { ask, query, rowOf, idOf } from '../api.js'
import { causeText } from '../timeline.js'

let root, key = '', why = null, problem = '', reading = false, again = false

export function mount(main) {
  root = main
  key = ''
  root.append(h('div', { class: 'pagehead', 'data-key': 'head' }), h('div', { 'data-key': 'body', class: 'why' }))
}
export function unmount() { root = null }

export function update(what) {
  const now = [...where().args, lang()].join()
  if (now !== key) { key = now; why = null; read() }
  else if (what.entries?.some(entry => entry.ns === where().args[1] || !entry.ns)) read()
  if (what.all || what.shell) draw()
}

async function read() {
  if (reading) { again = true; return }
  reading = true
  const mine = key
  const [resource, ns, name] = where().args
  try {
    const got = await ask(`/kubette/why/${(rowOf(resource)?.kind || resource).toLowerCase()}/${ns}/${name}` + query({ lang: lang() }))
    if (mine === key) { why = got; problem = '' }
  } catch (error) { if (mine === key) problem = error.message }
  if (root) draw()
  setTimeout(() => { reading = false; if (root && (again || mine !== key)) { again = false; read() } }, 1500)
}

function draw() {
  if (!root) return
  const [resource, ns, name] = where().args
  render(root.querySelector('.pagehead'), h('h1', {}, t('why.title', { name })), h('span', { class: 'kind' }, rowOf(resource)?.kind || resource), h('code', {}, `kubette why ${(rowOf(resource)?.kind || resource).toLowerCase()}/${name}${ns !== '-' && ns !== 'default' ? ' -n ' + ns : ''}`), h('span', { class: 'grow' }), h('a', { class: 'button', href: address('object', where().args) }, t('open')),
    revision() ? h('p', { class: 'dim' }, t('why.present')) : null, problem ? h('p', { class: 'problem' }, problem) : null)
  render(root.querySelector('.why'), why ? [findings(), attempts(), chain()] : problem ? null : h('p', { class: 'empty' }, t('loading')))
}

const signs = { problem: '✕', waiting: '◐', note: '•' }

function findings() {
  return h('section', { 'data-key': 'findings' }, why.gone ? h('p', { class: 'card' }, why.gone) : null,
    why.findings.map((finding, i) => h('article', { class: 'card finding ' + finding.severity, 'data-key': finding.reason + i }, h('p', {}, h('strong', {}, signs[finding.severity] + ' '), finding.text),
      finding.log?.length ? h('pre', { class: 'code' }, finding.log.join('\n')) : null,
      finding.tables?.map(table => [h('h3', {}, table.title), h('table', { class: 'pairs' }, h('thead', {}, h('tr', {}, table.heads.map(head => h('th', {}, head)))), h('tbody', {}, table.rows.map(cells => h('tr', {}, cells.map(cell => h('td', {}, cell))))))]),
      finding.try?.length ? [h('h3', {}, t('why.try')), h('ul', { class: 'try' }, finding.try.map(advice => h('li', {}, ticks(advice.text))))] : null)),
    !why.gone && !why.findings.length ? h('p', { class: 'card' }, t(why.exists ? 'why.fine' : 'object.gone')) : null)
}

// ticks shows what is between backticks as code.
const ticks = text => text.split('`').map((part, i) => i % 2 ? h('code', {}, part) : part)

// attempts are the scheduler's, each with what every node got from every plugin.
function attempts() {
  const all = why.attempts || []
  if (!all.length) return null
  const at = Math.min(Math.max(Number(param('attempt')) || all.length, 1), all.length)
  const one = all[at - 1]
  const plugins = [...new Set((one.nodes || []).flatMap(node => (node.scores || []).map(score => score.plugin)))]
  return h('section', { class: 'card', 'data-key': 'attempts' }, h('h2', {}, t('why.scheduler')),
    all.length > 1 ? h('div', { class: 'group', role: 'group', 'aria-label': t('why.attempts') }, all.map((each, i) => h('button', { 'data-act': 'why.attempt', 'data-arg': i + 1, 'aria-pressed': String(i + 1 === at) }, String(each.attempt)))) : null,
    h('p', {}, h('span', { class: 'dim num' }, clock(one.time) + ' · ' + (one.took / 1e6).toFixed(2) + ' ms · '), one.node ? t('why.placed', { node: one.node }) : one.message || one.outcome),
    one.refusal ? h('p', {}, `${one.refusal.plugin}: ${one.refusal.reasons?.join('; ')}`) : null,
    one.nodes?.length ? h('div', { class: 'scroll' }, h('table', { class: 'matrix' }, h('thead', {}, h('tr', {}, h('th', {}, t('node')), h('th', {}, t('why.filter')), plugins.map(plugin => h('th', {}, plugin)), h('th', {}, t('why.total')))),
      h('tbody', {}, one.nodes.map(node => h('tr', { class: node.node === one.node ? 'winner' : node.refusal ? 'refused' : '' }, h('th', {}, node.node === one.node ? '✓ ' : '', node.node),
        node.refusal ? h('td', { colspan: plugins.length + 2 }, '✕ ', h('strong', {}, node.refusal.plugin), ' ', node.refusal.reasons?.join('; ')) : [h('td', {}, '✓'), plugins.map(plugin => {
          const score = node.scores?.find(each => each.plugin === plugin)
          return h('td', { class: 'n', title: score ? t('why.score', score) : '' }, score ? [h('b', { class: 'gauge' }, h('i', { style: { width: score.normalized + '%' } })), ' ', String(score.weighted), h('span', { class: 'dim' }, score.weight > 1 ? ` = ${score.normalized}×${score.weight}` : '')] : '')
        }), h('td', { class: 'n' }, h('strong', {}, String(node.total || '')))]))))) : null,
    one.notShown ? h('p', { class: 'dim' }, t('more', { n: one.notShown })) : null,
    one.preemption?.message || one.preemption?.node ? h('p', {}, t('why.preemption') + ': ' + (one.preemption.message || `${one.preemption.node}: ${one.preemption.victims?.join(', ')}`)) : null)
}
act('why.attempt', attempt => set({ attempt }))

function chain() {
  return h('section', { 'data-key': 'chain' }, h('h2', {}, t('why.chain')), h('ol', { class: 'chain' }, why.chain.slice(0, 60).map((link, i) => {
    const { write, event } = link
    return h('li', { class: (event ? 'said ' + (event.type === 'Warning' ? 'warning' : '') : 'wrote') + (link.above ? ' above' : ''), 'data-key': (write?.revision || 'e' + i) + '' }, h('span', { class: 'dim num' }, clock(link.time)), ' ',
      event ? [h('strong', {}, event.who), ' ', (event.type === 'Warning' ? '⚠ ' : '') + event.reason, event.count > 1 ? ` ×${event.count}` : '', h('div', {}, event.message)]
        : [h('a', { href: '#', 'data-act': 'travel', 'data-arg': String(write.revision), class: 'num', title: t('travel') }, '#' + write.revision), ' ', h('strong', {}, write.who), ' ', write.verb, ' ', link.above ? h('a', { href: address('why', [write.object.resource + (write.object.group ? '.' + write.object.group : ''), write.object.namespace || '-', write.object.name]) }, `${write.object.kind} ${write.object.name}`) : null,
          h('div', { class: 'dim' }, write.because ? '← ' + causeText(write.because) + (write.trigger ? ' (#' + write.trigger + ')' : '') : link.unknown ? t('cause.unknown') : ''),
          changesOf(write)],
      link.repeated ? h('span', { class: 'dim' }, ' ' + t('why.repeated', { n: link.repeated })) : null,
      link.omitted ? h('span', { class: 'dim' }, ' ' + t('why.omitted', { n: link.omitted })) : null)
  })), why.chain.length > 60 ? h('p', { class: 'dim' }, t('more', { n: why.chain.length - 60 })) : null)
}

const shorten = value => value === undefined || value === null ? '∅' : typeof value === 'object' ? '{…}' : String(value).slice(0, 40)

// changesOf shows the fields that say something: not those that only follow from others, as times and identifiers do.
const dull = /(Time|[a-z]At|containerID|imageID|observedGeneration|message)$/i
function changesOf(write) {
  const told = write.created ? [] : (write.changes || []).filter(change => !dull.test(change.path))
  return told.length ? h('div', {}, told.slice(0, 3).map(change => h('code', {}, `${change.path} ${shorten(change.old)}→${shorten(change.new)}`)), told.length > 3 ? ' +' + (told.length - 3) : '') : null
}
