// The browser's copy of the cluster at one revision, and where the pages look: at the present or at the past.

import { watched, idOf, rowOf } from './api.js'

export class Model {
  constructor() {
    this.rev = 0
    this.objects = new Map(watched.map(resource => [resource, new Map()]))
  }
  copy() {
    const copy = new Model()
    copy.rev = this.rev
    for (const [resource, all] of this.objects) copy.objects.set(resource, new Map(all))
    return copy
  }
  // put sets what there is of an object: nothing, when that is null.
  put(resource, key, object) {
    if (object) this.objects.get(resource).set(key, object)
    else this.objects.get(resource).delete(key)
  }
  // apply takes in one entry of the log, if it is of a resource that is followed, and returns how to undo and to redo it.
  apply(entry) {
    const all = this.objects.get(entry.resource)
    if (!all || !entry.deleted && !entry.object) return null
    const write = writeOf(entry, all.get(keyOf(entry)))
    this.put(write.resource, write.key, write.after)
    return write
  }
  get(resource, ns, name) { return this.objects.get(resource)?.get((ns || '') + '/' + name) }
  find(id) {
    const [resource, ns, name] = id.split('/')
    return this.get(resource, ns, name)
  }
  // list returns the objects of a resource, in a namespace or in all.
  list(resource, ns) {
    const all = [...this.objects.get(resource).values()]
    return ns ? all.filter(object => object.metadata.namespace === ns) : all
  }
  // owned returns the objects of a resource that an object controls.
  owned(resource, owner) {
    return this.list(resource, owner.metadata.namespace).filter(object => controller(object)?.uid === owner.metadata.uid)
  }
}

export const keyOf = entry => (entry.ns || '') + '/' + entry.name

// whole completes an object, which the log has without its kind.
export function whole(resource, object) {
  if (!object) return null
  const row = rowOf(resource)
  return { apiVersion: row.version, ...object, kind: row.kind }
}

export const writeOf = (entry, before) => ({ rev: entry.rev, resource: entry.resource, ns: entry.ns, name: entry.name, key: keyOf(entry), before: before || null, after: entry.deleted ? null : whole(entry.resource, entry.object) })

// recent is how long a request counts as one of those that are under way, in milliseconds.
const recent = 5000

// carry takes in what the network has carried until now.
export function carry(ways) {
  const { traffic } = world
  const key = way => JSON.stringify([way.ns, way.ingress, way.host, way.path, way.service, way.pod])
  const before = new Map(traffic.ways?.map(way => [key(way), way]))
  const time = performance.now()
  if (traffic.ways) traffic.moments.push({ time, ways: ways.map(way => newer(way, before.get(key(way)))).filter(way => way.all > 0) })
  traffic.moments = traffic.moments.filter(moment => time - moment.time < recent)
  traffic.ways = ways
}

// newer is what went a way since it was counted before.
const newer = (way, before = {}) => ({ ...way, ...Object.fromEntries(['all', 'failed', 'micros'].map(name => [name, (way[name] || 0) - (before[name] || 0)])) })

// carried sums the ways that are asked for: all requests, and those that failed; and of just now how many there are per second,
// how many of them fail, and in how many milliseconds pods answer, or take a connection.
export function carried(asked) {
  const { ways, moments } = world.traffic, now = performance.now()
  const sum = { all: 0, failed: 0, rate: 0, failing: 0, latency: 0 }
  for (const way of ways || []) if (asked(way)) { sum.all += way.all; sum.failed += way.failed || 0 }
  for (const moment of moments) if (now - moment.time < recent) for (const way of moment.ways) {
    if (!asked(way)) continue
    sum.rate += way.all * 1000 / recent
    sum.failing += way.failed * 1000 / recent
    sum.latency += way.micros / 1000
  }
  if (sum.rate) sum.latency /= sum.rate * recent / 1000
  return sum
}

// withGone is a list with what was there before and is not now, at its place, as ghosts.
export function withGone(now, before, id) {
  const there = new Map(now.map((each, i) => [id(each), i])), ghosts = new Map() // by what they follow
  let after = -1
  for (const each of before) {
    const at = there.get(id(each))
    if (at !== undefined) after = at
    else ghosts.set(after, [...ghosts.get(after) || [], { ...each, gone: true }])
  }
  return [...ghosts.get(-1) || [], ...now.flatMap((each, i) => [each, ...ghosts.get(i) || []])]
}

export const controller = object => object.metadata.ownerReferences?.find(owner => owner.controller)

// matches says whether an object has the labels that a selector asks for: of a service, or of a workload.
export function matches(selector, labels = {}) {
  if (!selector) return false
  const equal = selector.matchLabels || (selector.matchExpressions ? {} : selector)
  for (const name in equal) if (labels[name] !== equal[name]) return false
  for (const { key, operator, values = [] } of selector.matchExpressions || []) {
    const has = key in labels
    if (operator === 'In' && !values.includes(labels[key])) return false
    if (operator === 'NotIn' && has && values.includes(labels[key])) return false
    if (operator === 'Exists' && !has || operator === 'DoesNotExist' && has) return false
  }
  return Object.keys(equal).length > 0 || Boolean(selector.matchExpressions?.length)
}

// world is what there is: the present always, and the past while somebody looks at it.
export const world = {
  live: new Model(),
  past: null,
  oldest: 1, // the oldest revision that is kept
  changes: [], // the writes, oldest first, without objects: for the timeline
  log: [], // the writes of what is followed after the revision logAfter, oldest first, each with what was there before and after
  logAfter: 0,
  steps: new Map(), // what the components did, by id
  components: new Map(), // how they are, by name
  traffic: { ways: null, moments: [] }, // what the network has carried since the start, and what was new in the last moments
  connected: false,
  quiet: localStorage.getItem('kubette.all') !== 'yes', // without the changes that tell little: see noise
  get view() { return this.past || this.live },
}

// changesKept is how many writes and steps the browser remembers; older ones come from the server.
export const changesKept = 500
const stepsKept = 4000

// noise says of a change that it is one of very many, and tells little: events, and what kubelets report of their nodes.
export const noise = entry => entry.resource === 'events' || entry.resource === 'nodes' && entry.actor?.startsWith('system:node:') && entry.verb?.endsWith('/status')

export function remember(entry) {
  if (world.quiet && noise(entry)) return
  world.changes.push({ ...entry, object: undefined, id: idOf(entry.resource, entry.ns, entry.name) })
}

// In the past the log may be as long as somebody scrubs; live it is as long as the timeline.
export const logAtMost = 10_000
const logKept = 1000

export function forget() {
  const kept = world.past ? logAtMost : logKept
  if (world.log.length > 2 * kept) {
    world.log.splice(0, world.log.length - kept)
    world.logAfter = world.log[0].rev - 1
  }
  if (world.changes.length > 2 * changesKept) world.changes.splice(0, world.changes.length - changesKept)
  if (world.steps.size > 2 * stepsKept) {
    let over = world.steps.size - stepsKept
    for (const id of world.steps.keys()) {
      if (over-- <= 0) break
      world.steps.delete(id)
    }
  }
}
