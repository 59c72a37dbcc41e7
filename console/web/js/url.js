// The state of the console is in its address, so that it can be kept, shared and gone back to:
// #/PAGE/ARGUMENT…?ns=&sel=&q=&rev=&from=. Without rev it is live.

const listeners = []
let current = parse()

function parse() {
  const hash = location.hash.startsWith('#/') ? location.hash.slice(2) : 'cluster'
  const [path, query = ''] = hash.split('?')
  const [page, ...args] = path.split('/').map(decodeURIComponent)
  const params = Object.fromEntries(new URLSearchParams(query))
  return { page: page || 'cluster', args, params }
}

export const where = () => current
export const param = name => current.params[name] || ''
export const revision = () => Number(current.params.rev) || 0

export function onMove(listener) { listeners.push(listener) }

// address is that of a page; what is chosen (namespace, revision, language) goes with it.
export function address(page, args = [], params = {}) {
  const kept = { ns: current.params.ns, rev: current.params.rev, from: current.params.from, ...params }
  const query = new URLSearchParams()
  for (const name in kept) if (kept[name]) query.set(name, kept[name])
  const text = query.toString().replaceAll('%2F', '/')
  return '#/' + [page, ...args.map(encodeURIComponent)].join('/') + (text ? '?' + text : '')
}

export function go(page, args, params) { move(address(page, args, params), false) }

// set changes parameters of the address. Filters replace the entry of the history, navigation adds one.
export function set(params, replace = true) {
  move(address(current.page, current.args, { ...current.params, ...params }), replace)
}

function move(hash, replace) {
  if (hash === location.hash) return
  history[replace ? 'replaceState' : 'pushState'](null, '', hash)
  moved()
}

function moved() {
  const before = current
  current = parse()
  for (const listener of listeners) listener(current, before)
}
addEventListener('popstate', moved)
addEventListener('hashchange', () => { if (JSON.stringify(parse()) !== JSON.stringify(current)) moved() })

// A key in the address has been turned into a cookie: it goes.
if (location.search) history.replaceState(null, '', location.pathname + location.hash)
