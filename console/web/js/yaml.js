// Objects as YAML, in the order and form in which kubectl shows them; and the difference of two texts, line by line.

const first = ['apiVersion', 'kind', 'metadata', 'spec', 'status', 'name', 'namespace']

export function yaml(value, indent = '') {
  if (Array.isArray(value)) return value.map(each => indent + '- ' + nested(each, indent + '  ')).join('')
  const keys = Object.keys(value).sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1))
  return keys.map(key => {
    const each = value[key]
    if (each === undefined) return ''
    const name = indent + plain(key) + ':'
    if (each === null || typeof each !== 'object') return name + ' ' + scalar(each, indent + '  ') + '\n'
    if (Array.isArray(each)) return each.length ? name + '\n' + yaml(each, indent) : name + ' []\n'
    return Object.keys(each).length ? name + '\n' + yaml(each, indent + '  ') : name + ' {}\n'
  }).join('')
}

const place = key => { const at = first.indexOf(key); return at < 0 ? first.length : at > 4 ? first.length : at }

// nested is an element of a list, whose first line follows the dash.
function nested(value, indent) {
  if (value === null || typeof value !== 'object') return scalar(value, indent) + '\n'
  if (!Object.keys(value).length) return (Array.isArray(value) ? '[]' : '{}') + '\n'
  return yaml(value, indent).slice(indent.length)
}

const unquoted = /^[A-Za-z_/][\w ./@+()=,;-]*(:[\w/][\w ./@+=-]*)*$/
const special = /^(true|false|yes|no|on|off|null|~|y|n)$/i

function plain(text) {
  return unquoted.test(text) && !special.test(text) && !/\s$|: | #/.test(text) ? text : JSON.stringify(text)
}

function scalar(value, indent) {
  if (typeof value !== 'string') return String(value)
  if (value.includes('\n') && !/[\r\t\0]|^\s/.test(value)) {
    const lines = value.split('\n')
    const keep = value.endsWith('\n')
    if (keep) lines.pop()
    return (keep ? '|' : '|-') + '\n' + lines.map(line => line ? indent + line : '').join('\n')
  }
  return value === '' ? '""' : plain(value)
}

// diff compares two texts: a list of [sign, line], where the sign is ' ', '-' or '+'. Longest common subsequence, after what
// is the same at both ends.
export function diff(before, after) {
  const a = before ? before.replace(/\n$/, '').split('\n') : [], b = after ? after.replace(/\n$/, '').split('\n') : []
  let head = 0, tail = 0
  while (head < a.length && head < b.length && a[head] === b[head]) head++
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++
  const x = a.slice(head, a.length - tail), y = b.slice(head, b.length - tail)
  const width = y.length + 1
  const length = new Uint16Array((x.length + 1) * width)
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) length[i * width + j] = x[i] === y[j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(length[(i + 1) * width + j], length[i * width + j + 1])
  }
  const out = a.slice(0, head).map(line => [' ', line])
  let i = 0, j = 0
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { out.push([' ', x[i]]); i++; j++ }
    else if (j >= y.length || i < x.length && length[(i + 1) * width + j] >= length[i * width + j + 1]) out.push(['-', x[i++]])
    else out.push(['+', y[j++]])
  }
  return out.concat(a.slice(a.length - tail).map(line => [' ', line]))
}

// folded leaves out of a difference what is far from every change; null stands for what is left out.
export function folded(lines, around = 3) {
  const near = new Uint8Array(lines.length)
  lines.forEach(([sign], i) => { if (sign !== ' ') near.fill(1, Math.max(0, i - around), i + around + 1) })
  const out = []
  lines.forEach((line, i) => { if (near[i]) out.push(line); else if (out[out.length - 1] !== null) out.push(null) })
  return out
}
