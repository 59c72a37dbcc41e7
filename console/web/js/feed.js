// The connection: first all objects at one revision, then everything that is written after it, in order, over one socket.
// When the socket breaks, it goes on where it was; when that is not kept any more, it begins anew.

import { ask, query, watched, idOf } from './api.js'
import { Model, world, remember, forget, carry, logAtMost, keyOf, whole, writeOf } from './model.js'

const resources = watched.join(',')
let changed = () => {}

// follow keeps world up to date, and says after each change what has changed: {all} or {entries}, {steps}, {components}, {traffic}.
export async function follow(tell) {
  changed = tell
  for (let wait = 250; ; wait = Math.min(wait * 2, 5000)) {
    try {
      if (!world.live.rev) await begin()
      const began = performance.now()
      await socket()
      if (performance.now() - began > 5000) wait = 250
    } catch (error) {
      if (error.code === 401) { changed({ locked: true }); return }
    }
    if (world.connected) { world.connected = false; changed({ connection: true }) }
    await new Promise(done => setTimeout(done, wait))
  }
}

async function begin() {
  const snapshot = await ask('/console/snapshot' + query({ resources }))
  const model = new Model()
  for (const entry of snapshot.entries) model.apply(entry)
  model.rev = snapshot.rev
  world.live = model
  world.log = []
  world.logAfter = snapshot.rev
  world.oldest = snapshot.oldest
  const { entries } = await ask('/console/changes' + query({ until: snapshot.rev, quiet: world.quiet }))
  world.changes = []
  for (const entry of entries) remember(entry)
  changed({ all: true })
}

function socket() {
  return new Promise((done, failed) => {
    const address = 'ws://' + location.host + '/console/feed' + query({ after: world.live.rev, resources })
    const connection = new WebSocket(address)
    connection.onopen = () => { world.connected = true; changed({ connection: true }) }
    connection.onclose = done
    connection.onerror = () => failed(new Error('the feed broke off'))
    connection.onmessage = ({ data }) => take(JSON.parse(data))
  })
}

function take(message) {
  if (message.gone) { world.live.rev = 0; return }
  if (message.rev) {
    const entries = message.entries || []
    for (const entry of entries) {
      if (entry.rev <= world.live.rev) continue
      const write = world.live.apply(entry)
      if (write) world.log.push(write)
      remember(entry)
    }
    world.live.rev = Math.max(world.live.rev, message.rev)
    changed({ entries })
  }
  if (message.steps) {
    for (const step of message.steps) world.steps.set(step.id, step)
    changed({ steps: message.steps })
  }
  if (message.traffic) {
    carry(message.traffic)
    changed({ traffic: true })
  }
  if (message.components) {
    world.components = new Map(message.components.map(component => [component.name, component]))
    changed({ components: true })
  }
  forget()
}

// travel brings world.past to a revision: 0 is back to the present. It returns what is different there ({entries}, or {all} when
// that is not known), or null when a newer call of it has overtaken it.
//
// The way goes through the log that the browser has, backwards or forwards, at the cost of a few references for each write. What
// is older than that log comes from the server; then the log is made longer, so that the next moves find it here.
let travelling = 0
export async function travel(rev) {
  const mine = ++travelling
  const from = world.view.rev
  if (rev === (world.past?.rev || 0)) return { entries: [] }
  if (rev && (rev < world.logAfter || rev > world.live.rev)) {
    const model = await far(rev)
    if (mine !== travelling) return null
    world.past = model
    lengthen()
    return { all: true }
  }
  const known = from >= world.logAfter
  if (!rev) {
    world.past = null
    return known ? { entries: writesBetween(from, world.live.rev) } : { all: true }
  }
  if (!world.past || !known) world.past = world.live.copy()
  const entries = walk(world.past, rev)
  lengthen()
  return known ? { entries } : { all: true }
}

// place is the first write of the log after a revision.
function place(rev) {
  let low = 0, high = world.log.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (world.log[middle].rev <= rev) low = middle + 1
    else high = middle
  }
  return low
}

const writesBetween = (a, b) => world.log.slice(place(Math.min(a, b)), place(Math.max(a, b)))

// walk takes a model to a revision, and returns the writes on the way.
function walk(model, rev) {
  const way = writesBetween(model.rev, rev)
  if (rev < model.rev) for (let i = way.length - 1; i >= 0; i--) model.put(way[i].resource, way[i].key, way[i].before)
  else for (const write of way) model.put(write.resource, write.key, write.after)
  model.rev = rev
  return way
}

// far reads the model at a revision that is older than the log.
async function far(rev) {
  const from = world.view
  let model
  try {
    const delta = await ask('/console/delta' + query({ from: from.rev, to: rev, resources }))
    model = from.copy()
    for (const entry of delta.entries) model.apply(entry)
    world.oldest = delta.oldest
  } catch (error) {
    if (error.code !== 410) throw error
    const snapshot = await ask('/console/snapshot' + query({ rev, resources }))
    model = new Model()
    for (const entry of snapshot.entries) model.apply(entry)
    world.oldest = snapshot.oldest
  }
  model.rev = rev
  return model
}

// lengthen reads the log backwards, some hundred revisions at a time, while somebody looks at the past.
const stretch = 500
let lengthening = false
async function lengthen() {
  if (lengthening) return
  lengthening = true
  try {
    while (world.past && world.logAfter > world.oldest && world.log.length < logAtMost) {
      const until = world.logAfter, after = Math.max(until - stretch, world.oldest)
      const { entries } = await ask('/console/log' + query({ after, until, resources }))
      if (until !== world.logAfter) break // the connection has begun anew
      const last = new Map() // what is there, on the way through the stretch
      const writes = entries.map(entry => {
        const id = entry.resource + keyOf(entry)
        const write = writeOf(entry, last.has(id) ? last.get(id) : whole(entry.resource, entry.before))
        last.set(id, write.after)
        return write
      })
      world.log.unshift(...writes)
      world.logAfter = after
    }
  } catch { /* it stays as long as it is: far moves then cost a request each */ } finally { lengthening = false }
}

// again reads the changes anew: with those that only tell little, or without.
export async function again() {
  const { entries } = await ask('/console/changes' + query({ until: world.live.rev, quiet: world.quiet }))
  const newer = world.changes.filter(entry => entry.rev > (entries.at(-1)?.rev || 0))
  world.changes = []
  for (const entry of entries) remember(entry)
  world.changes.push(...newer)
}

// older reads changes before those that are known.
let reading = null
export function older() {
  const first = world.changes[0]?.rev
  if (!first || first <= world.oldest || reading) return reading
  reading = ask('/console/changes' + query({ until: first - 1, quiet: world.quiet })).then(({ entries }) => {
    const more = entries.filter(entry => entry.rev < first).map(entry => ({ ...entry, id: idOf(entry.resource, entry.ns, entry.name) }))
    world.changes.unshift(...more)
    return more.length
  }).finally(() => { reading = null })
  return reading
}
