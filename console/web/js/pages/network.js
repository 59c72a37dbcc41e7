// The way of a request: from a host name through an ingress rule to a service, its endpoints, and the pods behind them. And a
// way to send requests and see what comes back.

import { h, $, render, act } from '../dom.js'
import { t, number } from '../i18n.js'
import { world, matches, carried } from '../model.js'
import { param, set, revision } from '../url.js'
import { idOf, post, Refused } from '../api.js'
import * as status from '../status.js'
import { badge } from '../status.js'
import { canvas, flow } from '../traffic.js'
import { toast } from '../main.js'

let root, clock, visits = [], host = '', at = '/', sending = 0, lines, observer

export function mount(main) {
  root = main
  root.append(h('div', { class: 'pagehead', 'data-key': 'head' }), h('div', { class: 'columns', 'data-key': 'try' }), h('div', { class: 'card netbox', 'data-key': 'net' }))
  observer = new ResizeObserver(connect)
  observer.observe(root.querySelector('.netbox'))
  clock = setInterval(() => { if (!document.hidden && world.traffic.moments.length) draw() }, 1000) // rates fall when nothing comes
}
export function unmount() { root = null; observer?.disconnect(); clearInterval(clock); flow([]) }

const followed = new Set(['pods', 'services', 'endpointslices.discovery.k8s.io', 'ingresses.networking.k8s.io'])

export function update(what) {
  if (what.all || what.shell) draw()
  else if (what.traffic || what.entries?.some(entry => followed.has(entry.resource))) soon()
}

// soon draws at once, and what comes while pods change many times a second a little later, together: dots must not stop for it.
const pause = 200 // milliseconds
let waiting = 0, drawn = 0
function soon() {
  const left = drawn + pause - performance.now()
  if (left <= 0) draw()
  else waiting ||= setTimeout(() => { waiting = 0; if (root) draw() }, left)
}

const slicesOf = service => world.view.list('endpointslices.discovery.k8s.io', service.metadata.namespace).filter(slice => slice.metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name)

// routes are the ingress rules: each leads from a host and a path to a service.
function routes(ns) {
  return world.view.list('ingresses.networking.k8s.io', ns).flatMap(ingress => {
    const { metadata, spec } = ingress
    const tls = new Set((spec.tls || []).flatMap(each => each.hosts || []))
    const list = (spec.rules || []).flatMap(rule => (rule.http?.paths || []).map(path => ({ ingress, host: rule.host || '*', path: path.path || '/', tls: tls.has(rule.host), service: path.backend.service?.name, port: path.backend.service?.port?.number ?? path.backend.service?.port?.name })))
    if (spec.defaultBackend?.service) list.push({ ingress, host: '*', path: '/', service: spec.defaultBackend.service.name, port: spec.defaultBackend.service.port?.number })
    return list.map((route, i) => ({ ...route, id: idOf('ingresses.networking.k8s.io', metadata.namespace, metadata.name), key: metadata.namespace + '/' + metadata.name + '/' + i }))
  })
}

function draw() {
  drawn = performance.now()
  const ns = param('ns'), q = param('q').toLowerCase()
  const services = world.view.list('services', ns).filter(each => ns || each.metadata.namespace !== 'kube-system' && each.metadata.name !== 'kubernetes').filter(each => !q || each.metadata.name.includes(q)).sort((a, b) => a.metadata.name < b.metadata.name ? -1 : 1)
  const all = routes(ns)
  const pods = new Map()
  lines = []
  for (const service of services) {
    const from = 's/' + service.metadata.namespace + '/' + service.metadata.name
    const targets = new Map()
    for (const slice of slicesOf(service)) for (const endpoint of slice.endpoints || []) if (endpoint.targetRef?.kind === 'Pod') targets.set(endpoint.targetRef.name, endpoint.conditions?.ready !== false)
    const chosen = service.spec.selector ? world.view.list('pods', service.metadata.namespace).filter(pod => matches(service.spec.selector, pod.metadata.labels)) : []
    for (const pod of chosen) {
      pods.set(pod.metadata.namespace + '/' + pod.metadata.name, pod)
      lines.push([from, 'p/' + pod.metadata.namespace + '/' + pod.metadata.name, targets.get(pod.metadata.name) === true ? 'on' : 'off'])
    }
  }
  for (const line of lines) {
    const [[, space, service], [, , pod]] = [line[0].split('/'), line[1].split('/')]
    line.push(carried(way => way.pod === pod && way.service === service && way.ns === space))
  }
  for (const route of all) lines.push(['h/' + route.key, 's/' + route.ingress.metadata.namespace + '/' + route.service, services.some(each => each.metadata.name === route.service && slicesOf(each).some(slice => slice.endpoints?.some(endpoint => endpoint.conditions?.ready !== false))) ? 'on' : 'off', carried(by(route))])
  const limit = 40
  const lost = carried(way => !way.service && !way.ingress)
  const shownPods = [...pods.values()].slice(0, limit)
  render(root.querySelector('.pagehead'), h('h1', {}, t('page.network')), h('p', { class: 'dim' }, t('network.about')))
  render(root.querySelector('.netbox'), h('svg', { class: 'lines', 'aria-hidden': 'true', 'data-own': '', 'data-key': 'svg' }), canvas(), h('div', { class: 'net', 'data-key': 'cols' },
    h('section', {}, h('h2', { class: 'dim' }, t('network.hosts')), all.length ? all.map(route => h('button', { class: 'box', 'data-key': route.key, 'data-point': 'h/' + route.key, 'data-act': 'network.host', 'data-arg': JSON.stringify([route.host, route.path, route.id]), 'aria-pressed': String(param('sel') === route.id) },
      h('strong', {}, (route.tls ? 'https://' : 'http://') + route.host + route.path), h('span', { class: 'dim' }, `Ingress ${route.ingress.metadata.name} → ${route.service}:${route.port}`), traffic(by(route)))) : h('p', { class: 'empty' }, t('network.nohosts')), lost.all ? h('p', { class: 'problem num', 'data-key': 'lost' }, '✕ ' + t('network.norule', { n: lost.all })) : null),
    h('section', {}, h('h2', { class: 'dim' }, t('network.services')), services.length ? services.map(serviceBox) : h('p', { class: 'empty' }, t('none'))),
    h('section', {}, h('h2', { class: 'dim' }, t('network.pods')), shownPods.map(pod => {
      const how = status.pod(pod, world.view.get('nodes', '', pod.spec.nodeName))
      const id = idOf('pods', pod.metadata.namespace, pod.metadata.name)
      return h('button', { class: 'box ' + how.state, 'data-key': id, 'data-point': 'p/' + pod.metadata.namespace + '/' + pod.metadata.name, 'data-act': 'select', 'data-arg': id, 'aria-pressed': String(param('sel') === id) }, h('span', {}, badge(how.state), ' ', h('strong', {}, pod.metadata.name)), h('span', { class: 'dim num' }, [pod.status.podIP, how.text].filter(Boolean).join(' · ')), traffic(way => way.pod === pod.metadata.name && way.ns === pod.metadata.namespace))
    }), pods.size > limit ? h('p', { class: 'dim' }, t('more', { n: pods.size - limit })) : null)))
  generator(all)
  connect()
}

const by = route => way => way.ns === route.ingress.metadata.namespace && way.ingress === route.ingress.metadata.name && (way.host || '*') === route.host && way.path === route.path

// traffic says what went a way since the cluster started, and what goes there now; nothing, where nothing went.
function traffic(asked) {
  const { all, failed, rate, latency } = carried(asked)
  if (!all || revision()) return null
  return h('span', { class: 'traffic num' }, t('network.carried', { n: all }), failed ? h('strong', { class: 'problem' }, ' ✕ ' + t('network.failed', { n: failed })) : null, rate ? h('span', { class: 'rate' }, ' · ' + t('network.rate', { rate: number(rate) }), latency ? ' · ' + t('network.latency', { ms: number(latency) }) : null) : null)
}

function serviceBox(service) {
  const { metadata, spec } = service
  const id = idOf('services', metadata.namespace, metadata.name)
  const endpoints = slicesOf(service).flatMap(slice => slice.endpoints || [])
  const ready = endpoints.filter(each => each.conditions?.ready !== false).length
  const state = ready ? 'ready' : 'failed'
  return h('button', { class: 'box ' + (ready ? '' : 'failed'), 'data-key': id, 'data-point': 's/' + metadata.namespace + '/' + metadata.name, 'data-act': 'select', 'data-arg': id, 'aria-pressed': String(param('sel') === id) },
    h('span', {}, badge(state), ' ', h('strong', {}, metadata.name), spec.type !== 'ClusterIP' ? ' ' + spec.type : ''), h('span', { class: 'dim num' }, `${spec.clusterIP || ''} ${(spec.ports || []).map(port => port.port + '→' + port.targetPort).join(', ')}`), h('span', { class: ready ? 'dim' : 'problem' }, t('network.endpoints', { ready, n: endpoints.length })), traffic(way => way.service === metadata.name && way.ns === metadata.namespace))
}

// connect draws the lines between the boxes, wherever they are now, and what goes along them. A broken line leads to what gets no
// requests.
function connect() {
  const box = root?.querySelector('.netbox'), svg = box?.querySelector('svg')
  if (!svg || !lines) return
  const origin = box.getBoundingClientRect()
  const places = new Map([...box.querySelectorAll('[data-point]')].map(el => [el.dataset.point, el.getBoundingClientRect()]))
  svg.setAttribute('width', box.scrollWidth)
  svg.setAttribute('height', box.scrollHeight)
  const flows = []
  render(svg, lines.map(([from, to, how, sum]) => {
    const a = places.get(from), b = places.get(to)
    if (!a || !b) return null
    const x1 = a.right - origin.left + box.scrollLeft, y1 = a.top + a.height / 2 - origin.top, x2 = b.left - origin.left + box.scrollLeft, y2 = b.top + b.height / 2 - origin.top
    const middle = (x1 + x2) / 2, { rate } = sum
    if (x2 > x1 && !revision()) flows.push({ ...sum, key: from + ' ' + to, points: [x1, y1, x2, y2] })
    return h('path', { 'data-key': from + to, d: `M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`, class: how, 'stroke-width': (1.8 + Math.min(6, Math.log2(1 + (revision() ? 0 : rate)))).toFixed(1) })
  }))
  flow(flows, box.scrollWidth, box.scrollHeight)
}

function generator(all) {
  if (!host && all[0]) { host = all[0].host; at = all[0].path }
  const counts = {}
  for (const each of visits) { const of = each.code ? Math.floor(each.code / 100) + 'xx' : '✕'; counts[of] = (counts[of] || 0) + 1 }
  render(root.querySelector('.columns'), h('section', { class: 'card' }, h('h2', {}, t('network.send')), h('form', { 'data-submit': 'network.send', class: 'visit' },
    h('label', {}, t('network.host'), h('input', { id: 'vhost', value: host, 'data-input': 'network.typed', list: 'hosts', spellcheck: 'false' })), h('datalist', { id: 'hosts' }, [...new Set(all.map(route => route.host))].map(name => h('option', { value: name }))),
    h('label', {}, t('network.path'), h('input', { id: 'vpath', value: at, 'data-input': 'network.typed', spellcheck: 'false' })),
    h('button', { class: 'primary', 'data-key': 'one' }, t('network.one')), h('button', { type: 'button', 'data-act': 'network.many', 'data-key': 'many', disabled: sending > 0 }, t('network.many')))),
  h('section', { class: 'card' }, h('h2', {}, t('network.answers')), visits.length ? [h('p', { class: 'num' }, Object.entries(counts).map(([of, n]) => `${of}: ${n}`).join('  ·  ')), h('ol', { class: 'visits' }, visits.slice(0, 12).map(each => h('li', { class: each.code && each.code < 400 ? '' : 'bad', 'data-key': String(each.n) }, h('strong', { class: 'num' }, (each.code && each.code < 400 ? '✓ ' : '✕ ') + (each.code || '')), ' ', h('span', { class: 'num dim' }, each.took.toFixed(1) + ' ms '), each.host + each.path, h('pre', {}, (each.problem || each.body || '').slice(0, 300)))))] : h('p', { class: 'empty' }, t('network.noanswers'))))
}

act('network.typed', () => { host = $('vhost').value; at = $('vpath').value })
act('network.host', arg => { const [name, path, id] = JSON.parse(arg); host = name === '*' ? 'localhost' : name; at = path; set({ sel: param('sel') === id ? '' : id }) })

let counter = 0
async function visit() {
  const asked = { method: 'GET', host: host.trim(), path: at.trim() || '/' }
  let answer
  try { answer = await post('/console/visit', asked) } catch (error) { if (!(error instanceof Refused)) throw error; answer = { code: 0, took: 0, problem: error.message } }
  visits.unshift({ ...asked, ...answer, n: counter++ })
  if (visits.length > 500) visits.length = 500
}
act('network.send', async () => { try { await visit() } catch (error) { toast(error.message) } if (root) draw() })
act('network.many', async () => {
  sending = 50
  while (sending > 0 && root) { await visit(); sending--; generator(routes(param('ns'))) }
  sending = 0
  if (root) draw()
})
