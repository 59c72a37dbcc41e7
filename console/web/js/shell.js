// A shell in a container: a small terminal over Kubernetes' exec protocol, in which each message begins with the number of its
// channel. What is typed goes to the container, whose terminal echoes it; what comes back is text with the few control
// characters that a line needs (carriage return, backspace, tabs); colours and other escape sequences are left out.

import { h, $, render, act } from './dom.js'
import { t } from './i18n.js'
import { path, kubectl } from './api.js'
import { redraw } from './main.js'

const stdin = 0, problem = 3, size = 4 // channels
const keptLines = 2000

let socket = null, lines = [''], at = 0, rest = '', target = null, drawn = null, observer = null

export function stop() { socket?.close(); socket = null; lines = ['']; at = 0; target = null; observer?.disconnect() }

export function draw(box, ns, name, object, off) {
  target = { ns, name, container: object.spec.containers[0].name }
  render(box, h('p', { 'data-key': 'bar' }, h('code', {}, kubectl('exec', 'pods', ns, name, '-it -- sh').replace('pod/', '')), ' ',
    socket ? h('button', { class: 'small', 'data-act': 'shell.stop' }, t('shell.stop')) : h('button', { class: 'primary', 'data-act': 'shell.start', disabled: off }, t('shell.start')), ' ', h('span', { class: 'dim' }, t('shell.about'))),
    h('pre', { class: 'card code terminal', id: 'terminal', 'data-own': '', 'data-key': 'out', tabindex: 0, role: 'textbox', 'aria-multiline': 'true', 'aria-label': t('shell.line') }))
  if (drawn !== $('terminal')) {
    drawn = $('terminal')
    drawn.addEventListener('keydown', pressed)
    drawn.addEventListener('paste', event => { event.preventDefault(); send(event.clipboardData.getData('text')) })
    observer?.disconnect()
    observer = new ResizeObserver(measure)
    observer.observe(drawn)
  }
  show()
}

function show() {
  if (!drawn) return
  const line = lines.at(-1)
  drawn.replaceChildren(lines.slice(0, -1).map(each => each + '\n').join('') + line.slice(0, at), h('span', { class: socket ? 'cursor' : '' }, line[at] || ' '), line.slice(at + 1))
  drawn.scrollTop = drawn.scrollHeight
}

// hear takes in what the container's terminal writes. An escape sequence may come in two pieces.
function hear(text) {
  text = rest + text
  rest = /\x1b(\[[0-9;?]*)?$/.exec(text)?.[0] || ''
  text = text.slice(0, text.length - rest.length)
  for (const [part] of text.matchAll(/\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[^\x1b]/gsu)) {
    const line = lines.at(-1)
    if (part === '\n') { lines.push(''); at = 0 }
    else if (part === '\r') at = 0
    else if (part === '\b') at = Math.max(0, at - 1)
    else if (part === '\x1b[K' || part === '\x1b[0K') lines[lines.length - 1] = line.slice(0, at)
    else if (part === '\x1b[J') lines[lines.length - 1] = line.slice(0, at)
    else if (part === '\x1b[H' || part === '\x1b[2J') { lines = ['']; at = 0 }
    else if (part === '\x1b[C') at++
    else if (part === '\x1b[D') at = Math.max(0, at - 1)
    else if (part === '\t') put(' '.repeat(8 - at % 8))
    else if (part[0] !== '\x1b' && part !== '\x07') put(part)
  }
  if (lines.length > keptLines) lines = lines.slice(-keptLines)
  show()
}

function put(text) {
  const line = lines.at(-1).padEnd(at)
  lines[lines.length - 1] = line.slice(0, at) + text + line.slice(at + text.length)
  at += text.length
}

function send(text, channel = stdin) {
  if (socket?.readyState !== WebSocket.OPEN) return
  const data = new TextEncoder().encode(' ' + text)
  data[0] = channel
  socket.send(data)
}

const keys = { Enter: '\r', Backspace: '\x7f', Tab: '\t', Escape: '\x1b', ArrowUp: '\x1b[A', ArrowDown: '\x1b[B', ArrowRight: '\x1b[C', ArrowLeft: '\x1b[D', Home: '\x1b[H', End: '\x1b[F', Delete: '\x1b[3~' }

// pressed sends a key. Ctrl with a letter is a control character; Shift+Tab leaves the terminal, so that it is no trap.
function pressed(event) {
  if (!socket || event.metaKey || event.altKey || event.key === 'Tab' && event.shiftKey) return
  const copies = event.ctrlKey && event.key === 'c' && String(getSelection())
  const text = event.ctrlKey ? (/^[a-z]$/i.test(event.key) && !copies && event.key !== 'v' ? String.fromCharCode(event.key.toUpperCase().charCodeAt(0) - 64) : '') : keys[event.key] || (event.key.length === 1 ? event.key : '')
  if (!text) return
  event.preventDefault()
  event.stopPropagation()
  send(text)
}

// measure tells the container how large the terminal is.
function measure() {
  if (!drawn?.clientWidth) return
  const probe = h('span', {}, 'MMMMMMMMMM')
  drawn.append(probe)
  const { width, height } = probe.getBoundingClientRect()
  probe.remove()
  const style = getComputedStyle(drawn)
  if (width) send(JSON.stringify({ Width: Math.max(20, Math.floor((drawn.clientWidth - parseFloat(style.paddingLeft) * 2) / (width / 10))), Height: Math.max(5, Math.floor(drawn.clientHeight / height)) }), size)
}

act('shell.start', () => {
  const { ns, name, container } = target
  const command = new URLSearchParams({ command: 'sh', container, stdin: true, stdout: true, tty: true })
  const mine = socket = new WebSocket('ws://' + location.host + path('pods', ns, name, 'exec') + '?' + command, ['v5.channel.k8s.io', 'v4.channel.k8s.io'])
  const decoder = new TextDecoder()
  mine.binaryType = 'arraybuffer'
  mine.onopen = () => { measure(); drawn?.focus() }
  mine.onmessage = ({ data }) => {
    if (mine !== socket || data.byteLength < 2) return
    const bytes = new Uint8Array(data)
    if (bytes[0] !== problem) { hear(decoder.decode(bytes.subarray(1), { stream: true })); return }
    const text = new TextDecoder().decode(bytes.subarray(1))
    try { const end = JSON.parse(text); if (end.message) hear('\r\n' + end.message + '\r\n') } catch { hear(text) }
  }
  mine.onclose = () => { if (mine === socket) { socket = null; hear('\r\n' + t('shell.ended') + '\r\n'); redraw() } }
  redraw()
})
act('shell.stop', () => socket?.close())
