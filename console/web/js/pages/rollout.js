// A rollout: the deployment's ReplicaSets as lanes, old and new, and how far it may go at each moment: so many pods more than
// wanted, so many fewer than are available. A pod counts only once it is ready.

import { h, render, act } from '../dom.js'
import { t, age } from '../i18n.js'
import { world } from '../model.js'
import { where, param, revision, address } from '../url.js'
import { ask, path, idOf, kubectl } from '../api.js'
import * as status from '../status.js'
import { badge } from '../status.js'
import { toast } from '../main.js'

let root

export function mount(main) {
  root = main
  root.append(h('div', { class: 'pagehead', 'data-key': 'head' }), h('div', { 'data-key': 'body' }))
}
export function unmount() { root = null }

export function update(what) {
  if (what.all || what.shell || what.entries?.some(entry => entry.ns === where().args[0])) draw()
}

const revisionOf = object => Number(object.metadata.annotations?.['deployment.kubernetes.io/revision']) || 0
const part = (value, of, up) => String(value).endsWith('%') ? Math[up ? 'ceil' : 'floor'](parseInt(value) / 100 * of) : Number(value)

function draw() {
  const [ns, name] = where().args
  const deployment = world.view.get('deployments.apps', ns, name)
  if (!deployment) { render(root.querySelector('.pagehead'), h('h1', {}, name)); render(root.children[1], h('p', { class: 'empty' }, t('object.gone'))); return }
  const { spec, status: got } = deployment
  const wanted = spec.replicas ?? 1
  const how = status.workload(deployment)
  const sets = world.view.owned('replicasets.apps', deployment).sort((a, b) => revisionOf(b) - revisionOf(a))
  const rolling = spec.strategy?.rollingUpdate
  const surge = rolling ? part(rolling.maxSurge ?? '25%', wanted, true) : 0
  let unavailable = rolling ? part(rolling.maxUnavailable ?? '25%', wanted, false) : wanted
  if (rolling && !surge && !unavailable) unavailable = 1
  const off = revision() > 0
  render(root.querySelector('.pagehead'), h('h1', {}, badge(how.state), ' ', name), h('span', { class: 'kind' }, 'Deployment'), h('span', { class: 'dim' }, ns), h('code', {}, kubectl('rollout status', 'deployments.apps', ns, name)), h('span', { class: 'grow' }),
    h('button', { 'data-act': 'rollout.restart', 'data-arg': ns + '/' + name, disabled: off }, t('rollout.restart')),
    h('button', { 'data-act': 'rollout.pause', 'data-arg': ns + '/' + name, disabled: off }, t(spec.paused ? 'rollout.resume' : 'rollout.pause')),
    h('a', { class: 'button', href: address('why', ['deployments.apps', ns, name]) }, t('why')))
  const available = got?.availableReplicas || 0, there = got?.replicas || 0
  render(root.children[1], h('section', { class: 'card', 'data-key': 'gauges' }, h('p', {}, t('rollout.strategy') + ' ', h('strong', {}, spec.strategy?.type || 'RollingUpdate')),
    range(t('rollout.there'), there, 0, wanted + surge, t('rollout.most', { n: wanted + surge, surge })),
    range(t('rollout.available'), available, wanted - unavailable, wanted, t('rollout.least', { n: Math.max(0, wanted - unavailable), unavailable })),
    range(t('updated'), got?.updatedReplicas || 0, 0, wanted, t('rollout.of', { n: wanted })),
    (got?.conditions || []).filter(each => each.type === 'Progressing').map(each => h('p', { class: 'dim' }, `${each.reason}: ${each.message}`))),
  sets.map((set, i) => lane(deployment, set, i, off)))
}

function range(name, is, least, most, text) {
  const full = Math.max(most, is, 1)
  return h('div', { class: 'range' }, h('span', {}, name), h('b', { class: 'gauge' }, h('i', { style: { width: 100 * is / full + '%' } }), least > 0 ? h('s', { style: { left: 100 * least / full + '%' } }) : null), h('strong', { class: 'num' }, String(is)), h('span', { class: 'dim' }, text))
}

function lane(deployment, set, i, off) {
  const pods = world.view.owned('pods', set).sort((a, b) => a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : a.metadata.name < b.metadata.name ? -1 : 1)
  const wanted = set.spec.replicas ?? 0
  const id = idOf('replicasets.apps', set.metadata.namespace, set.metadata.name)
  return h('section', { class: 'card lane', 'data-key': set.metadata.uid }, h('p', {}, h('strong', {}, t(i === 0 ? 'rollout.new' : 'rollout.old')), ' · ', t('rollout.revision', { n: revisionOf(set) }), ' · ', h('a', { href: '#', 'data-act': 'select', 'data-arg': id }, set.metadata.name), ' ', h('code', {}, set.spec.template.spec.containers.map(each => each.image).join(', ')), ' ', h('span', { class: 'num' }, t('rollout.count', { ready: set.status?.readyReplicas || 0, there: set.status?.replicas || 0, wanted })),
    i > 0 ? [' ', h('button', { class: 'small', 'data-act': 'rollout.undo', 'data-arg': JSON.stringify([deployment.metadata.namespace, deployment.metadata.name, set.metadata.name]), disabled: off }, t('rollout.undo'))] : null),
  h('div', { class: 'pods map', 'data-density': 'tiles' }, pods.map(pod => {
    const how = status.pod(pod, world.view.get('nodes', '', pod.spec.nodeName))
    const podId = idOf('pods', pod.metadata.namespace, pod.metadata.name)
    return h('button', { class: 'pod ' + how.state, 'data-key': podId, 'data-act': 'select', 'data-arg': podId, title: pod.metadata.name + ' ' + how.text, 'aria-label': pod.metadata.name + ', ' + how.text, 'aria-pressed': String(param('sel') === podId) }, status.glyphs[how.state])
  }), pods.length ? null : h('span', { class: 'dim' }, t('rollout.none'))))
}

const patch = (ns, name, body, type = 'application/merge-patch+json') => ask(path('deployments.apps', ns, name) + '?fieldManager=kubectl-rollout', { method: 'PATCH', type, body: JSON.stringify(body) })

async function carry(run, command) {
  try { await run(); toast(t('done'), command) } catch (error) { toast(error.message) }
}
act('rollout.restart', arg => {
  const [ns, name] = arg.split('/')
  carry(() => patch(ns, name, { spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString().replace(/\.\d+/, '') } } } } }), kubectl('rollout restart', 'deployments.apps', ns, name))
})
act('rollout.pause', arg => {
  const [ns, name] = arg.split('/')
  const paused = world.live.get('deployments.apps', ns, name)?.spec.paused
  carry(() => patch(ns, name, { spec: { paused: paused ? null : true } }), kubectl('rollout ' + (paused ? 'resume' : 'pause'), 'deployments.apps', ns, name))
})
act('rollout.undo', arg => {
  const [ns, name, from] = JSON.parse(arg)
  const set = world.live.get('replicasets.apps', ns, from)
  const template = structuredClone(set.spec.template)
  delete template.metadata.labels['pod-template-hash']
  carry(() => patch(ns, name, [{ op: 'replace', path: '/spec/template', value: template }], 'application/json-patch+json'), kubectl('rollout undo', 'deployments.apps', ns, name, '--to-revision=' + revisionOf(set)))
})
