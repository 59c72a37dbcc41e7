// Building the page: elements are made with h(), and what a page shows is brought up to date with morph(), which changes
// only what differs, so that focus, scrolling and selections stay. Nothing is ever parsed as HTML.

const SVG = 'http://www.w3.org/2000/svg'
const svgTags = new Set(['svg', 'path', 'line', 'rect', 'circle', 'g', 'text', 'defs', 'marker', 'title', 'polygon'])

// h makes an element. Attributes that are false, null or undefined are left out; true is an empty one.
export function h(tag, attributes, ...children) {
  const element = svgTags.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag)
  for (const name in attributes) {
    const value = attributes[name]
    if (value === false || value === null || value === undefined) continue
    if (name === 'style') { setStyle(element, value); continue }
    if (name === 'value' || name === 'checked') element[name] = value
    element.setAttribute(name, value === true ? '' : value)
  }
  add(element, children)
  return element
}

function setStyle(element, style) {
  for (const name in style) element.style.setProperty(name, style[name])
}

function add(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue
    if (Array.isArray(child)) add(element, child)
    else element.append(child)
  }
}

// morph makes the children of an element like those of another one. Elements with the attribute data-key are matched by
// it, the others by their place.
export function morph(to, wanted) {
  const keyed = new Map()
  for (const child of to.childNodes) {
    if (child.nodeType === 1 && child.dataset && child.dataset.key) keyed.set(child.dataset.key, child)
  }
  let at = to.firstChild
  for (const want of [...wanted.childNodes]) {
    const key = want.nodeType === 1 && want.dataset ? want.dataset.key : undefined
    let have = key ? keyed.get(key) : at
    if (have && !key && have.nodeType === 1 && have.dataset && have.dataset.key) have = null
    if (have && have.nodeType === want.nodeType && have.nodeName === want.nodeName) {
      if (have !== at) to.insertBefore(have, at)
      else at = at.nextSibling
      same(have, want)
    } else {
      to.insertBefore(want, at)
    }
  }
  while (at) {
    const next = at.nextSibling
    at.remove()
    at = next
  }
}

function same(have, want) {
  if (have.nodeType !== 1) {
    if (have.data !== want.data) have.data = want.data
    return
  }
  if (have.dataset.own !== undefined) return // its module keeps it up to date itself
  for (const { name } of [...have.attributes]) if (!want.hasAttribute(name)) have.removeAttribute(name)
  for (const { name, value } of want.attributes) {
    if (have.getAttribute(name) === value) continue
    if (name === 'style') have.style.cssText = want.style.cssText // as an attribute the page's own policy refuses it
    else have.setAttribute(name, value)
  }
  if (have.nodeName === 'SELECT') { morph(have, want); if (have.value !== want.value) have.value = want.value; return }
  if ((have.nodeName === 'INPUT' || have.nodeName === 'TEXTAREA') && have !== document.activeElement) {
    if (have.value !== want.value) have.value = want.value
    if (have.checked !== want.checked) have.checked = want.checked
  }
  morph(have, want)
}

// render brings the content of an element up to date.
export function render(root, ...children) {
  const wanted = document.createDocumentFragment()
  add(wanted, children)
  morph(root, wanted)
}

// Actions: an element with data-act is a thing to click; what it does is registered once, by name. So elements can be
// replaced freely, and have no listeners of their own.
const actions = new Map()
export function act(name, run) { actions.set(name, run) }

function handle(event, kind) {
  const element = event.target.closest?.('[data-' + kind + ']')
  if (!element || element.disabled) return
  const run = actions.get(element.dataset[kind])
  if (!run) return
  if (kind === 'act' && element.nodeName === 'A' && (event.ctrlKey || event.metaKey || event.shiftKey)) return
  if (kind === 'act') event.preventDefault()
  run(element.dataset.arg, element, event)
}
document.addEventListener('click', event => handle(event, 'act'))
document.addEventListener('input', event => handle(event, 'input'))
document.addEventListener('change', event => handle(event, 'change'))
document.addEventListener('submit', event => { event.preventDefault(); handle(event, 'submit') })

export const $ = id => document.getElementById(id)

export const reducedMotion = () => matchMedia('(prefers-reduced-motion: reduce)').matches
