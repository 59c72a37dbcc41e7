// The inspector: what is selected, in short. What it is and how it is, whose it is, what happened to it and who did that.

import { h, render, act, $ } from './dom.js'
import { t, age, clock } from './i18n.js'
import { world, controller } from './model.js'
import { param, set, go, revision, address } from './url.js'
import { ask, path, at, query, rowOf, rowOfKind, partsOf, idOf, kubectl, post } from './api.js'
import * as status from './status.js'
import { badge } from './status.js'
import { sentence, because, hidden } from './timeline.js'
import { toast } from './main.js'

let root
let about = '' // the object whose events are known
let events = []

export function mount(to) { root = to }

export function update(what) {
  const id = param('sel')
  const show = Boolean(id) && document.body.dataset.page !== 'object'
  document.body.classList.toggle('inspecting', show)
  root.hidden = !show
  if (!show) { about = ''; return }
  const { resource, ns, name } = partsOf(id)
  const object = world.view.find(id)
  if (about !== id + revision()) { about = id + revision(); events = []; readEvents(resource, ns, name) }
  else if (what.entries?.some(entry => entry.about && entry.about.endsWith('/' + name))) readEvents(resource, ns, name)
  if (!(what.all || what.shell || what.steps || what.entries?.length)) return
  root.setAttribute('aria-label', t('inspector'))
  render(root, heading(resource, name, id, object), object ? [
    buttons(resource, ns, name, object),
    facts(resource, object), family(object), happened(id), eventList()] : [h('p', { class: 'empty' }, t(rowOf(resource) && world.view.objects.has(resource) ? 'object.gone' : 'object.unwatched')), happened(id)])
}

function heading(resource, name, id, object) {
  const how = object && status.of(resource, object, world.view)
  return h('header', { 'data-key': 'h' }, h('div', {}, h('span', { class: 'kind' }, rowOf(resource)?.kind || resource), h('h2', {}, how ? [badge(how.state), ' '] : null, name)),
    h('button', { class: 'plain', 'data-act': 'close', 'aria-label': t('close'), title: t('close') + ' (Esc)' }, '×'),
    how ? h('p', { class: 'how ' + how.state }, t('state.' + how.state) + (how.text && how.text !== t('state.' + how.state) ? ' · ' + how.text : '')) : null)
}

function buttons(resource, ns, name, object) {
  const args = [resource, ns || '-', name]
  const link = (page, list, params, text) => h('a', { class: 'button', href: address(page, list, params) }, text)
  const off = revision() > 0
  return h('div', { class: 'buttons', 'data-key': 'b' },
    link('object', args, {}, t('open')), link('object', args, { tab: 'yaml' }, 'YAML'),
    resource === 'pods' ? link('object', args, { tab: 'logs' }, t('tab.logs')) : null,
    link('why', args, {}, t('why')),
    resource === 'deployments.apps' ? link('rollout', [ns, name], {}, t('page.rollout')) : null,
    ['deployments.apps', 'statefulsets.apps', 'replicasets.apps'].includes(resource) ? h('span', { class: 'group', role: 'group', 'aria-label': t('scale') },
      h('button', { 'data-act': 'scale', 'data-arg': JSON.stringify([resource, ns, name, (object.spec.replicas ?? 1) - 1]), disabled: off || (object.spec.replicas ?? 1) < 1, title: t('scale.down'), 'aria-label': t('scale.down') }, '−'),
      h('button', { 'data-act': 'scale', 'data-arg': JSON.stringify([resource, ns, name, (object.spec.replicas ?? 1) + 1]), disabled: off, title: t('scale.up'), 'aria-label': t('scale.up') }, '+')) : null,
    resource === 'pods' ? h('button', { 'data-act': 'crash', 'data-arg': ns + '/' + name, disabled: off, title: t('fault.about.crash') }, '⚡ ' + t('fault.do.crash')) : null,
    h('button', { 'data-act': 'delete', 'data-arg': args.join('/'), disabled: off, class: 'danger' }, t('delete')))
}

const row = (name, value, extra) => value === undefined || value === null || value === '' ? null : [h('dt', {}, name), h('dd', { class: extra }, value)]

function facts(resource, object) {
  const { spec = {}, status: got = {}, metadata } = object
  const now = revision() ? undefined : Date.now()
  const rows = [row(t('namespace'), metadata.namespace), row(t('age'), now ? age(metadata.creationTimestamp, now) : clock(metadata.creationTimestamp))]
  switch (resource) {
    case 'pods': {
      const how = status.pod(object)
      rows.push(row(t('node'), spec.nodeName ? h('a', { href: '#', 'data-act': 'select', 'data-arg': 'nodes//' + spec.nodeName }, spec.nodeName) : t('node.none')), row('IP', got.podIP), row(t('restarts'), how.restarts || null))
      break
    }
    case 'nodes':
      rows.push(row('pods', String([...world.view.list('pods')].filter(pod => pod.spec.nodeName === metadata.name).length)), row(t('runtime'), got.nodeInfo?.containerRuntimeVersion), row('podCIDR', spec.podCIDR))
      break
    case 'services':
      rows.push(row('clusterIP', spec.clusterIP), row(t('ports'), (spec.ports || []).map(port => `${port.port}→${port.targetPort}`).join(', ')), row('selector', labels(spec.selector)))
      break
    case 'deployments.apps': case 'replicasets.apps': case 'statefulsets.apps': case 'daemonsets.apps': case 'jobs.batch': {
      const how = status.workload(object)
      rows.push(row(t('wanted'), String(how.wanted)), row(t('there'), String(how.there)), row(t('ready'), String(how.ready)), row('image', [...new Set(spec.template?.spec.containers.map(each => each.image))].join(', ')))
      break
    }
  }
  if (metadata.labels) rows.push(row('labels', labels(metadata.labels), 'labels'))
  const conditions = got.conditions?.filter(each => each.message && each.status !== 'True' || ['nodes'].includes(resource) && each.type === 'Ready')
  return [h('dl', { class: 'facts', 'data-key': 'f' }, rows),
    resource === 'pods' ? h('ul', { class: 'containers', 'data-key': 'c' }, spec.containers.map(each => container(each, got))) : null,
    conditions?.length ? h('ul', { class: 'conditions', 'data-key': 'cond' }, conditions.map(each => h('li', {}, h('strong', {}, `${each.type}: ${each.status}`), each.reason ? ` ${each.reason}` : '', h('br', {}), each.message))) : null]
}

const labels = map => map ? Object.entries(map).map(([key, value]) => h('code', {}, `${key}=${value}`)) : null

function container(spec, got) {
  const one = got.containerStatuses?.find(each => each.name === spec.name)
  const state = Object.keys(one?.state || {})[0] || 'waiting'
  const detail = one?.state?.[state] || {}
  const last = one?.lastState?.terminated
  return h('li', {}, h('strong', {}, spec.name), ' ', h('code', {}, spec.image), h('br', {}),
    h('span', { class: 'dim' }, `${t('container.' + state)}${detail.reason ? ': ' + detail.reason : ''}${detail.exitCode !== undefined ? ` (${t('exit', { code: detail.exitCode })})` : ''}${one?.ready ? ', ' + t('ready') : ''}`),
    detail.message ? h('p', {}, detail.message) : null,
    last ? h('p', { class: 'dim' }, t('container.last', { reason: last.reason || '', code: last.exitCode })) : null)
}

// family are the owners of an object, and those that it owns.
export function family(object) {
  const owners = []
  for (let at = object; ;) {
    const owner = controller(at)
    const row = owner && rowOfKind(owner.kind)
    if (!row) break
    owners.unshift({ row, name: owner.name, ns: at.metadata.namespace })
    at = world.view.get(row.resource, row.namespaced ? at.metadata.namespace : '', owner.name)
    if (!at) break
  }
  const children = ['replicasets.apps', 'jobs.batch', 'pods'].flatMap(resource => world.view.owned(resource, object).map(each => ({ resource, each })))
  if (!owners.length && !children.length) return null
  const limit = 12
  return h('section', { 'data-key': 'family' }, h('h3', {}, t('family')), h('ul', { class: 'tree' },
    owners.map((owner, i) => h('li', { style: { '--depth': i } }, link(owner.row.resource, owner.ns, owner.name))),
    h('li', { style: { '--depth': owners.length }, class: 'self' }, object.kind + ' ' + object.metadata.name),
    children.slice(0, limit).map(({ resource, each }) => h('li', { style: { '--depth': owners.length + 1 } }, badge(status.of(resource, each, world.view).state), ' ', link(resource, each.metadata.namespace, each.metadata.name))),
    children.length > limit ? h('li', { class: 'dim', style: { '--depth': owners.length + 1 } }, t('more', { n: children.length - limit })) : null))
}

export function link(resource, ns, name) {
  const row = rowOf(resource)
  return h('a', { href: '#', 'data-act': 'select', 'data-arg': idOf(resource, row?.namespaced ? ns : '', name) }, h('span', { class: 'kind' }, row?.kind || resource), ' ', name)
}

// happened are the latest writes of the object, newest first, as far as the browser remembers.
function happened(id) {
  const list = world.changes.filter(entry => entry.id === id && entry.rev <= world.view.rev).slice(-8).reverse()
  return h('section', { 'data-key': 'happened' }, h('h3', {}, t('happened')), list.length ? h('ol', { class: 'happened' }, list.map(entry => h('li', { 'data-key': String(entry.rev) },
    h('a', { href: address('cluster'), 'data-act': 'travel', 'data-arg': String(entry.rev), class: 'num', title: t('travel') }, '#' + entry.rev), ' ', sentence(entry), entry.verb ? h('span', { class: 'dim' }, ` (${entry.verb})`) : null,
    because(entry) ? h('div', { class: 'dim' }, '← ' + because(entry)) : null))) : h('p', { class: 'empty' }, t('happened.none')))
}

function eventList() {
  return h('section', { 'data-key': 'events' }, h('h3', {}, t('events')), events.length ? h('ul', { class: 'events' }, events.slice(0, 12).map(eventItem)) : h('p', { class: 'empty' }, t('events.none')))
}

export const eventItem = event => h('li', { class: event.type === 'Warning' ? 'warning' : '' }, h('strong', {}, (event.type === 'Warning' ? '⚠ ' : '') + event.reason), h('span', { class: 'dim' }, ` ${event.source?.component || event.reportingComponent || ''} · ${age(eventTime(event))}${countOf(event) > 1 ? ' ×' + countOf(event) : ''}`), h('div', {}, event.message))

const countOf = event => event.series?.count || event.count || 1
export const eventTime = event => event.series?.lastObservedTime || event.lastTimestamp || event.eventTime || event.metadata.creationTimestamp

export async function eventsOf(resource, ns, name) {
  const kind = rowOf(resource)?.kind
  const list = await ask(path('events', ns || '') + query({ fieldSelector: `involvedObject.kind=${kind},involvedObject.name=${name}`, ...at(revision()) }))
  return list.items.sort((a, b) => new Date(eventTime(b)) - new Date(eventTime(a)) || Number(b.metadata.resourceVersion) - Number(a.metadata.resourceVersion))
}

async function readEvents(resource, ns, name) {
  const mine = about
  try {
    const found = await eventsOf(resource, ns, name)
    if (mine === about) { events = found; update({ all: true }) }
  } catch { /* an object whose events cannot be read has none to show */ }
}

act('travel', rev => set({ rev }))

act('delete', async arg => {
  const [resource, ns, name] = arg.split('/')
  const space = ns === '-' ? '' : ns
  const command = kubectl('delete', resource, space, name)
  if (!await confirm(t('delete.sure', { name }), command)) return
  try { await ask(path(resource, space, name), { method: 'DELETE', body: JSON.stringify({ kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background' }) }); toast(t('done'), command) } catch (error) { toast(error.message) }
})

act('scale', async arg => {
  const [resource, ns, name, replicas] = JSON.parse(arg)
  try {
    await ask(path(resource, ns, name, 'scale') + '?fieldManager=kubectl', { method: 'PATCH', type: 'application/merge-patch+json', body: JSON.stringify({ spec: { replicas } }) })
    toast(t('done'), kubectl('scale', resource, ns, name, '--replicas=' + replicas))
  } catch (error) { toast(error.message) }
})

act('crash', async arg => {
  const [namespace, target] = arg.split('/')
  try { await post('/kubette/faults', { kind: 'crash', namespace, target }); toast(t('done'), `kubette fault crash ${target}${namespace === 'default' ? '' : ' -n ' + namespace}`) } catch (error) { toast(error.message) }
})

// confirm asks before something is done that cannot be undone.
export function confirm(text, command) {
  return new Promise(done => {
    const dialog = h('dialog', { class: 'menu' }, h('h2', {}, text), h('p', {}, h('code', {}, command)), h('form', { method: 'dialog' }, h('button', { value: 'no', autofocus: true }, t('no')), ' ', h('button', { value: 'yes', class: 'danger' }, t('yes'))))
    dialog.addEventListener('close', () => { done(dialog.returnValue === 'yes'); dialog.remove() })
    dialog.querySelector('form').addEventListener('submit', event => { event.stopPropagation(); event.preventDefault(); dialog.close(event.submitter?.value) })
    document.body.append(dialog)
    dialog.showModal()
  })
}
