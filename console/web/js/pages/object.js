// One object: wanted and reported side by side, its YAML, events, logs, history, and a shell.

import { h, $, render, act } from '../dom.js'
import { t, lang, age, clock } from '../i18n.js'
import { world, matches } from '../model.js'
import { where, param, set, revision, address } from '../url.js'
import { ask, path, at, query, rowOf, idOf, kubectl } from '../api.js'
import * as status from '../status.js'
import { yaml, diff, folded } from '../yaml.js'
import { badge } from '../status.js'
import { family, eventsOf, eventItem, link } from '../inspector.js'
import { rows as tree } from './workloads.js'
import { causeText } from '../timeline.js'
import { toast } from '../main.js'
import * as shell from '../shell.js'

let root, key = '', object = null, gone = false, events = [], history = null, difference = null, observed = null, logs = null

export function mount(main) {
  root = main
  key = ''
  root.append(h('div', { class: 'pagehead', 'data-key': 'head' }), h('div', { class: 'tabs', 'data-key': 'tabs' }), h('div', { class: 'tab', 'data-key': 'tab' }))
}

export function unmount() { root = null; stopLogs(); shell.stop() }

const what = () => {
  const [resource, ns, name] = where().args
  return { resource, ns: ns === '-' ? '' : ns, name }
}

export function update(change) {
  const { resource, ns, name } = what()
  const now = [resource, ns, name, revision(), param('tab'), lang()].join()
  const mine = change.entries?.some(entry => entry.resource === resource && entry.name === name && (entry.ns || '') === ns)
  const said = change.entries?.some(entry => entry.about?.endsWith('/' + name))
  if (now !== key) {
    if (key.split(',').slice(0, 3).join() !== now.split(',').slice(0, 3).join()) { object = null; gone = false; events = []; history = null; difference = null; observed = null; shell.stop() }
    if (tab() !== 'logs' || !logs) stopLogs()
    key = now
    read(true)
  } else if (mine || said || tab() === 'overview' && change.entries?.some(entry => entry.ns === ns && world.view.objects.has(entry.resource))) read(mine)
  if (change.all || change.shell || mine) draw()
}

const tab = () => param('tab') || 'overview'

// read asks for what the tab shows and the browser has not.
let again = 0
async function read(itself) {
  const { resource, ns, name } = what()
  const mine = key
  const row = rowOf(resource)
  if (!row) { gone = true; draw(); return }
  const known = world.view.get(resource, ns, name)
  try {
    if (world.view.objects.has(resource)) { object = known || null; gone = !known }
    else if (itself) {
      const list = await ask(path(resource, ns) + query({ fieldSelector: 'metadata.name=' + name, ...at(revision()) }))
      if (mine !== key) return
      object = list.items[0] ? { apiVersion: row.version, kind: row.kind, ...list.items[0] } : null
      if (object) delete object.metadata.managedFields
      gone = !object
    }
    if (tab() === 'events') events = await eventsOf(resource, ns, name)
    if (tab() === 'history') history = await ask(`/kubette/history/${row.kind.toLowerCase()}/${ns || '-'}/${name}`).catch(() => ({ writes: [] }))
    if (tab() === 'overview' && object) {
      const asked = ++again
      await new Promise(done => setTimeout(done, 80)) // what changes at once is asked for once
      if (asked !== again || mine !== key) return
      if (resource === 'pods' && !revision()) observed = await ask(`/kubette/observed/${ns}/${name}`).catch(() => null)
      else observed = null
      difference = await ask('/kubette/diff' + query({ kind: row.kind.toLowerCase(), namespace: ns, name, lang: lang(), ...(revision() ? { revision: revision() } : {}) })).catch(() => null)
    }
    if (tab() === 'logs' && !logs) startLogs()
  } catch (error) { if (mine === key) toast(error.message) }
  if (mine === key && root) draw()
}

function draw() {
  const { resource, ns, name } = what()
  if (!root || !key.startsWith([resource, ns, name].join() + ',')) return // the address is another page's already
  const row = rowOf(resource)
  const how = object && status.of(resource, object, world.view)
  const args = where().args
  render(root.querySelector('.pagehead'), h('h1', {}, how ? [badge(how.state), ' '] : null, name), h('span', { class: 'kind' }, row?.kind || resource), ns ? h('span', { class: 'dim' }, ns) : null,
    how ? h('span', { class: 'how ' + how.state }, how.text) : null, h('span', { class: 'grow' }),
    h('a', { class: 'button', href: address('why', args) }, t('why')),
    resource === 'deployments.apps' ? h('a', { class: 'button', href: address('rollout', [ns, name]) }, t('page.rollout')) : null,
    h('button', { 'data-act': 'select', 'data-arg': idOf(resource, ns, name) }, t('inspector.show')))
  const names = ['overview', 'yaml', 'events', ...resource === 'pods' ? ['logs', 'shell'] : [], 'history']
  render(root.querySelector('.tabs'), names.map(each => h('a', { 'data-key': each, href: address('object', args, { tab: each === 'overview' ? '' : each }), 'aria-current': tab() === each ? 'page' : null }, t('tab.' + each))))
  const box = root.querySelector('.tab')
  if (tab() === 'shell' && object) { shell.draw(box, ns, name, object, revision() > 0); return }
  render(box, gone && tab() !== 'history' ? h('p', { class: 'empty' }, t('object.gone')) : !object && tab() !== 'history' ? h('p', { class: 'empty' }, t('loading')) : tabs[tab()]?.())
}

const tabs = {
  overview() {
    const { spec, status: got } = object
    const pairs = compare()
    return [
      difference?.rows?.length ? h('section', { class: 'card', 'data-key': 'diff' }, h('h2', {}, t('object.difference')), tree(difference.rows)) : null,
      pairs.length ? h('section', { class: 'card', 'data-key': 'pairs' }, h('h2', {}, t('object.compare')), h('table', { class: 'pairs' }, h('thead', {}, h('tr', {}, h('th', {}, ''), h('th', {}, t('wanted.spec')), h('th', {}, t('reported')), observed ? h('th', {}, t('observed')) : null)),
        h('tbody', {}, pairs.map(([name, want, is, same, seen]) => h('tr', { class: same ? '' : 'differs' }, h('td', {}, same ? '' : '≠ ', name), h('td', { class: 'mono' }, String(want ?? '–')), h('td', { class: 'mono' }, String(is ?? '–')), observed ? h('td', { class: 'mono' }, String(seen ?? '–')) : null))))) : null,
      h('div', { class: 'columns', 'data-key': 'columns' }, spec ? h('section', { class: 'card' }, h('h2', {}, t('wanted.spec')), h('pre', {}, yaml(spec))) : null,
        got && Object.keys(got).length ? h('section', { class: 'card' }, h('h2', {}, t('reported')), h('pre', {}, yaml(got))) : null,
        !spec ? h('section', { class: 'card' }, h('pre', {}, yaml(object))) : null),
      h('section', { class: 'card', 'data-key': 'fam' }, family(object) || h('p', { class: 'empty' }, t('family.none')))]
  },
  yaml() {
    const { resource, ns, name } = what()
    if (param('from')) return differenceFrom(resource, ns, name)
    return [h('p', {}, h('code', {}, kubectl('get', resource, ns, name, '-o yaml')), ' ', h('button', { class: 'small', 'data-act': 'object.copy' }, t('copy')), ' ', h('a', { class: 'button', href: address('apply', [], { edit: idOf(resource, ns, name) }) }, t('edit'))), h('pre', { class: 'card code' }, yaml(object))]
  },
  events: () => events.length ? h('ul', { class: 'events card' }, events.map(eventItem)) : h('p', { class: 'empty' }, t('events.none')),
  history: () => history ? h('ol', { class: 'history' }, [...history.writes].reverse().map(write => h('li', { class: 'card', 'data-key': String(write.revision) },
    h('a', { href: '#', 'data-act': 'travel', 'data-arg': String(write.revision), class: 'num', title: t('travel') }, '#' + write.revision), ' ', h('a', { href: address('object', where().args, { tab: 'yaml', from: String(write.revision) }), title: t('from.do') }, 'Δ'), ' ', h('span', { class: 'dim num' }, clock(write.time)), ' ', h('strong', {}, write.who), ' ', write.verb,
    write.because ? h('span', { class: 'dim' }, ' ← ' + causeText(write.because), write.trigger ? [' ', h('a', { href: '#', 'data-act': 'travel', 'data-arg': String(write.trigger) }, '#' + write.trigger)] : null) : null,
    write.changes?.length ? h('ul', { class: 'changes' }, write.changes.slice(0, 14).map(change => h('li', {}, h('code', {}, change.path), ' ', h('del', {}, short(change.old)), ' → ', h('ins', {}, short(change.new)))), write.changes.length > 14 ? h('li', { class: 'dim' }, t('more', { n: write.changes.length - 14 })) : null) : null))) : h('p', { class: 'empty' }, t('loading')),
  logs() {
    const { ns, name } = what()
    const names = [...object.spec.containers, ...(object.spec.initContainers || [])].map(each => each.name)
    return [h('p', { 'data-key': 'bar' }, h('label', {}, t('container') + ' ', h('select', { 'data-change': 'logs.container', value: logs?.container }, names.map(each => h('option', { value: each, selected: each === logs?.container }, each)))), ' ',
      h('label', { class: 'check' }, h('input', { type: 'checkbox', 'data-change': 'logs.previous', checked: logs?.previous }), t('logs.previous')), ' ', h('code', {}, kubectl('logs', 'pods', ns, name, `${names.length > 1 ? '-c ' + logs?.container + ' ' : ''}${logs?.previous ? '--previous' : '--follow'}`).replace('pod/', ''))),
    h('pre', { class: 'card code logs', 'data-key': 'log', id: 'log', tabindex: 0 }, logs?.text || h('span', { class: 'dim' }, t('logs.none')))]
  },
}

// differenceFrom compares the object as it was at the revision `from` with the one that is looked at.
let earlier = {}
function differenceFrom(resource, ns, name) {
  const from = Number(param('from')), id = [resource, ns, name, from].join()
  if (earlier.id !== id) {
    earlier = { id }
    const found = ask(path(resource, ns) + query({ fieldSelector: 'metadata.name=' + name, ...at(from) })).then(list => ({ object: list.items[0] || null }), error => ({ problem: error.message }))
    found.then(got => { if (earlier.id === id) { Object.assign(earlier, got); draw() } })
  }
  const text = each => each ? yaml(bare(each)) : ''
  return [h('p', {}, t('from.title', { from, to: revision() || world.live.rev }), ' ', h('button', { class: 'small', 'data-act': 'object.from' }, t('from.end'))),
    earlier.problem ? h('p', { class: 'problem' }, earlier.problem) : !('object' in earlier) ? h('p', { class: 'empty' }, t('loading')) : h('pre', { class: 'card code diff' }, shown(folded(diff(text(earlier.object), text(object)))))]
}

const shown = lines => lines.some(line => line && line[0] !== ' ') ? lines.map(line => line ? h('span', { class: line[0] === '+' ? 'add' : line[0] === '-' ? 'del' : '' }, line.join('') + '\n') : h('span', { class: 'dim' }, '⋯\n')) : h('span', { class: 'dim' }, t('from.same'))

// bare leaves out what differs between any two writes.
function bare({ apiVersion, kind, ...object }) {
  const { managedFields, resourceVersion, ...metadata } = object.metadata
  return { ...object, metadata }
}

const short = value => value === undefined || value === null ? '∅' : typeof value === 'object' ? JSON.stringify(value).slice(0, 120) : String(value).slice(0, 120)

// compare puts what is wanted beside what is reported, where they are about the same: what differs comes first.
function compare() {
  const { spec = {}, status: got = {}, metadata } = object
  const { resource } = what()
  const rows = []
  const put = (name, want, is, same = want === is, seen) => rows.push([name, want, is, same, seen])
  switch (resource) {
    case 'deployments.apps': case 'statefulsets.apps': case 'replicasets.apps': {
      const count = spec.replicas ?? 1
      put(t('there'), count, got.replicas ?? 0)
      put(t('ready'), count, got.readyReplicas ?? 0)
      if (resource !== 'replicasets.apps') put(t('updated'), count, got.updatedReplicas ?? 0)
      put(t('seen'), metadata.generation, got.observedGeneration)
      break
    }
    case 'pods':
      put(t('node'), spec.nodeName, got.hostIP ? spec.nodeName : undefined, Boolean(spec.nodeName && got.hostIP))
      put('IP', undefined, got.podIP, Boolean(got.podIP), observed?.address)
      for (const each of spec.containers) {
        const one = got.containerStatuses?.find(other => other.name === each.name)
        const engine = observed?.containers.find(other => other.name === each.name)
        put(each.name + ': image', each.image, one?.image, !one || one.image === each.image || one.image.endsWith('/' + each.image) || one.image.includes(each.image.split(':')[0]), engine?.image)
        put(each.name, t('container.running'), one ? t('container.' + Object.keys(one.state)[0]) : undefined, Boolean(one?.state.running), engine && engine.state + (engine.exitCode === undefined ? '' : ` (${t('exit', { code: engine.exitCode })})`) + (engine.error ? ': ' + engine.error : ''))
        put(each.name + ': ' + t('restarts'), undefined, one?.restartCount, true, engine?.restarts)
        put(each.name + ': ' + t('state.ready'), t('yes'), one?.ready ? t('yes') : t('no'))
      }
      break
    case 'services': {
      const pods = spec.selector ? world.view.list('pods', metadata.namespace).filter(pod => matches(spec.selector, pod.metadata.labels)) : []
      const slices = world.view.list('endpointslices.discovery.k8s.io', metadata.namespace).filter(slice => slice.metadata.labels?.['kubernetes.io/service-name'] === metadata.name)
      const ready = slices.flatMap(slice => slice.endpoints || []).filter(endpoint => endpoint.conditions?.ready !== false)
      if (spec.selector) put(t('pods.matching') + ' / ' + t('endpoints.ready'), pods.length, ready.length)
      break
    }
    case 'persistentvolumeclaims': put(t('size'), spec.resources?.requests?.storage, got.capacity?.storage); break
  }
  return rows.sort((a, b) => a[3] - b[3])
}

act('object.copy', async () => { await navigator.clipboard.writeText(yaml(object)); toast(t('copied')) })

// Logs follow the container as long as they are looked at.
const keptLog = 200_000
function stopLogs() { logs?.abort.abort(); logs = null }

async function startLogs(container, previous) {
  stopLogs()
  const { ns, name } = what()
  if (!object || revision()) { logs = { container: container || object?.spec.containers[0].name, previous, text: '', abort: new AbortController() }; if (!object) { logs = null; return } }
  const mine = logs = { container: container || object.spec.containers[0].name, previous: Boolean(previous), text: '', abort: new AbortController() }
  draw()
  try {
    const response = await fetch(path('pods', ns, name, 'log') + query({ container: mine.container, tailLines: 1000, ...(previous ? { previous: true } : { follow: true }) }), { signal: mine.abort.signal })
    if (!response.ok) { mine.text = (await response.json()).message; draw(); return }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      const { value, done } = await reader.read()
      if (done || mine !== logs) break
      mine.text = (mine.text + value).slice(-keptLog)
      const box = $('log')
      const atEnd = !box || box.scrollTop + box.clientHeight > box.scrollHeight - 30
      draw()
      if (atEnd && $('log')) $('log').scrollTop = $('log').scrollHeight
    }
  } catch (error) { if (error.name !== 'AbortError' && mine === logs) { mine.text += '\n' + error.message; draw() } }
}
act('logs.container', (_, element) => startLogs(element.value, logs?.previous))
act('logs.previous', (_, element) => startLogs(logs?.container, element.checked))

act('object.from', (_, element) => set({ from: element.value }))
