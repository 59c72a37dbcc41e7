// Requests under way: dots on one canvas over the lines of the network page. Their density is the rate, their speed says how
// quickly pods answer, and a diamond is one that failed. Frames are drawn only while there are dots, and somebody looks.

import { $, h, reducedMotion } from './dom.js'

const most = 200 // dots at a time; of more requests, some have no dot
const size = 3.5

let lines = new Map() // by key: {rate, failing, latency} of the requests, the points of the curve, and how much of a dot is due
let dots = []
let frame = 0, last = 0

// canvas is where the dots are, below all boxes; its style has their colours.
export const canvas = () => h('canvas', { id: 'dots', 'aria-hidden': 'true', 'data-own': '', 'data-key': 'dots', 'data-dots': '0' })

// flow says what goes along which line from now on.
export function flow(now, width, height) {
  lines = new Map(now.map(line => [line.key, { ...line, due: lines.get(line.key)?.due ?? 0.9 }]))
  dots = dots.filter(dot => lines.has(dot.key))
  const to = $('dots'), ratio = devicePixelRatio || 1
  if (to && (to.width !== Math.round(width * ratio) || to.height !== Math.round(height * ratio))) {
    to.width = Math.round(width * ratio)
    to.height = Math.round(height * ratio)
    to.style.width = width + 'px'
    to.style.height = height + 'px'
  }
  go()
}

// go asks for a frame if there is something to draw in it. Without motion, the numbers in the boxes say it all.
function go() {
  if (frame || document.hidden) return
  if (reducedMotion()) dots = []
  const moving = !reducedMotion() && (dots.length > 0 || [...lines.values()].some(line => line.rate > 0))
  if (moving) frame = requestAnimationFrame(draw)
  else { last = 0; if ($('dots')?.dataset.dots !== '0') paint() }
}
document.addEventListener('visibilitychange', () => { last = 0; go() })

function draw(now) {
  frame = 0
  const seconds = last ? Math.min(0.1, (now - last) / 1000) : 0
  last = now
  for (const dot of dots) dot.way += seconds / travelTime(lines.get(dot.key).latency)
  dots = dots.filter(dot => dot.way < 1)
  for (const [key, line] of lines) {
    line.due += line.rate * seconds
    for (; line.due >= 1; line.due--) if (dots.length < most) dots.push({ key, way: 0, failed: Math.random() * line.rate < line.failing })
  }
  paint()
  go()
}

// travelTime is how long a dot takes, in seconds, where pods take so many milliseconds: fast and slow are told apart from one
// millisecond to some seconds.
const travelTime = latency => Math.min(5, 0.7 + 0.35 * Math.log2(1 + latency))

function paint() {
  const to = $('dots')
  if (!to) return
  const c = to.getContext('2d'), ratio = devicePixelRatio || 1
  c.setTransform(ratio, 0, 0, ratio, 0, 0)
  c.clearRect(0, 0, to.width, to.height)
  const style = dots.length ? getComputedStyle(to) : null
  for (const failed of [false, true]) {
    c.beginPath()
    for (const dot of dots) {
      if (dot.failed !== failed) continue
      const [x, y] = place(lines.get(dot.key).points, dot.way)
      if (failed) { c.moveTo(x, y - 6); c.lineTo(x + 6, y); c.lineTo(x, y + 6); c.lineTo(x - 6, y); c.closePath() }
      else { c.moveTo(x + size, y); c.arc(x, y, size, 0, 7) }
    }
    if (!style) continue
    c.strokeStyle = style.outlineColor // sets them off from the line
    c.fillStyle = failed ? style.borderColor : style.color
    c.lineWidth = 3
    c.stroke()
    c.fill()
  }
  note(to, 'dots', dots.length)
  note(to, 'diamonds', dots.filter(dot => dot.failed).length)
}

// note tells a number to whoever reads the page; the same again would be a change of the page, too.
function note(to, name, number) {
  if (to.dataset[name] !== String(number)) to.dataset[name] = number
}

// place is a point of a line's curve, which leaves and arrives level.
function place([x1, y1, x2, y2], way) {
  const back = 1 - way, middle = (x1 + x2) / 2
  const mix = (a, b, c, d) => back ** 3 * a + 3 * back * back * way * b + 3 * back * way * way * c + way ** 3 * d
  return [mix(x1, middle, middle, x2), mix(y1, y1, y2, y2)]
}
