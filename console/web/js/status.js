// How things are, in the words of kubectl, and as one of seven states. Each state has a glyph and an outline; its colour
// only repeats what they say.

import { h } from './dom.js'

export const glyphs = { ready: '✓', running: '◐', pending: '○', failed: '✕', terminating: '↓', succeeded: '■', lost: '?' }

export const badge = state => h('span', { class: 'glyph ' + state, 'aria-hidden': 'true' }, glyphs[state])

const trouble = /BackOff|Err|Error|Failed|Invalid|Killed|Cannot|Evicted|Unknown/

// pod says how a pod is: {state, text, ready, of, restarts}. The text is what kubectl shows as STATUS.
export function pod(object, node) {
  const { metadata, spec, status = {} } = object
  const inits = spec.initContainers || []
  const containers = status.containerStatuses || []
  let text = status.reason || status.phase || 'Pending'
  let restarts = 0, ready = 0, initialising = false
  for (const [i, one] of (status.initContainerStatuses || []).entries()) {
    const lasting = inits[i]?.restartPolicy === 'Always'
    restarts += lasting ? one.restartCount : 0
    if (one.state?.terminated?.exitCode === 0 || lasting && one.started) continue
    initialising = true
    if (one.state?.terminated) text = 'Init:' + (one.state.terminated.reason || 'ExitCode:' + one.state.terminated.exitCode)
    else if (one.state?.waiting?.reason && one.state.waiting.reason !== 'PodInitializing') text = 'Init:' + one.state.waiting.reason
    else text = `Init:${i}/${inits.length}`
    break
  }
  if (!initialising) {
    let running = false
    for (const one of [...containers].reverse()) {
      restarts += one.restartCount || 0
      if (one.ready) ready++
      if (one.state?.waiting?.reason) text = one.state.waiting.reason
      else if (one.state?.terminated) text = one.state.terminated.reason || 'ExitCode:' + one.state.terminated.exitCode
      else if (one.ready && one.state?.running) running = true
    }
    if (text === 'Completed' && running) text = condition(object, 'Ready')?.status === 'True' ? 'Running' : 'NotReady'
  }
  const isReady = condition(object, 'Ready')?.status === 'True'
  let state = 'pending'
  if (status.phase === 'Succeeded') state = 'succeeded'
  else if (status.phase === 'Failed' || trouble.test(text)) state = 'failed'
  else if (status.phase === 'Running') state = isReady ? 'ready' : 'running'
  if (metadata.deletionTimestamp) {
    text = status.reason === 'NodeLost' ? 'Unknown' : 'Terminating'
    state = 'terminating'
  }
  if (node && nodeState(node).state === 'lost' && state !== 'succeeded' && state !== 'failed') state = 'lost'
  return { state, text, ready, of: spec.containers.length, restarts }
}

export const condition = (object, type) => object.status?.conditions?.find(each => each.type === type)

export function nodeState(node) {
  const ready = condition(node, 'Ready')?.status
  if (ready === 'True') return { state: 'ready', text: node.spec?.unschedulable ? 'Ready,SchedulingDisabled' : 'Ready' }
  return ready === 'Unknown' || !ready ? { state: 'lost', text: 'NotReady' } : { state: 'failed', text: 'NotReady' }
}

// workload says how many replicas are wanted, there, ready and up to date.
export function workload(object) {
  const { spec = {}, status = {} } = object
  switch (object.kind) {
    case 'DaemonSet':
      return counts(status.desiredNumberScheduled, status.currentNumberScheduled, status.numberReady, status.updatedNumberScheduled)
    case 'Job':
      return counts(spec.completions ?? 1, (status.active || 0) + (status.succeeded || 0), status.succeeded, status.succeeded, condition(object, 'Failed')?.status === 'True')
    case 'CronJob':
      return counts(0, status.active?.length, status.active?.length, 0)
  }
  return counts(spec.replicas ?? 1, status.replicas, status.readyReplicas, status.updatedReplicas ?? status.readyReplicas)
}

function counts(wanted = 0, there = 0, ready = 0, updated = 0, failed = false) {
  let state = 'running'
  if (failed) state = 'failed'
  else if (ready >= wanted && updated >= wanted && there <= wanted) state = 'ready'
  else if (ready === 0 && wanted > 0) state = 'pending'
  return { wanted, there, ready, updated, state, text: `${ready}/${wanted}` }
}

// of says how any object is: null where there is nothing to say.
export function of(resource, object, model) {
  switch (resource) {
    case 'pods': return pod(object, model.get('nodes', '', object.spec.nodeName))
    case 'nodes': return nodeState(object)
    case 'deployments.apps': case 'replicasets.apps': case 'statefulsets.apps': case 'daemonsets.apps': case 'jobs.batch':
      return object.metadata.deletionTimestamp ? { state: 'terminating', text: 'Terminating' } : workload(object)
    case 'namespaces': return object.status?.phase === 'Terminating' ? { state: 'terminating', text: 'Terminating' } : { state: 'ready', text: 'Active' }
    case 'persistentvolumeclaims': case 'persistentvolumes':
      return { state: ['Bound', 'Available'].includes(object.status?.phase) ? 'ready' : object.status?.phase === 'Lost' ? 'failed' : 'pending', text: object.status?.phase || 'Pending' }
  }
  return null
}

const units = { n: 1e-9, u: 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 }

// quantity is the number that a Kubernetes quantity means: 500m, 64Mi.
export function quantity(text) {
  const [, number, unit] = /^([0-9.eE+-]+?)([numkMGTKi]*)$/.exec(String(text ?? 0)) || [0, 0, '']
  return Number(number) * (units[unit] ?? 1)
}

// requests sums what a pod's containers ask for.
export function requests(object) {
  let cpu = 0, memory = 0
  for (const container of object.spec.containers) {
    cpu += quantity(container.resources?.requests?.cpu)
    memory += quantity(container.resources?.requests?.memory)
  }
  return { cpu, memory }
}

export function bytes(number) {
  for (const unit of ['Ti', 'Gi', 'Mi', 'Ki']) if (number >= units[unit]) return Math.round(number / units[unit] * 10) / 10 + ' ' + unit
  return String(number)
}

// who is the short name of an authenticated user, as kubette's own tools give it.
export function who(actor) {
  if (!actor) return ''
  for (const [prefix, short] of [['system:serviceaccount:kube-system:', ''], ['system:serviceaccount:', 'serviceaccount '], ['system:node:', 'kubelet '], ['system:', '']]) {
    if (actor.startsWith(prefix)) return short + actor.slice(prefix.length)
  }
  return actor
}
