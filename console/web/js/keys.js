// Keys, by character and not by place, so that they are where the keyboard's owner expects them. None while typing.

import { t } from './i18n.js'
import { $, h } from './dom.js'
import { partsOf } from './api.js'

let shell

// keys connects the keyboard when it is given the shell, and lists what there is otherwise.
export function keys(to) {
  if (to) { shell = to; document.addEventListener('keydown', pressed); return }
  return [['?', 'help'], ['/', 'find'], [':', 'command'], ['g c', 'cluster'], ['g l', 'list'], ['g n', 'network'], ['g m', 'machine'],
    ['g a', 'apply'], ['g w', 'why'], ['g r', 'rollout'], ['space', 'play'], [', .', 'step'], ['n', 'next'], ['=', 'compare'], ['[ ]', 'history'], ['y', 'yaml'], ['Enter', 'enter'], ['Esc', 'esc']]
    .map(([key, name]) => [key, t('key.' + name)])
}

let prefix = false

function pressed(event) {
  const at = event.target
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
  if (event.key === 'Escape') { escape(at); return }
  if (at.matches('input, textarea, select, [contenteditable]') || $('help')?.open) return
  const { key } = event
  if (prefix) {
    prefix = false
    if (jump(key)) event.preventDefault()
    return
  }
  const run = {
    '?': shell.help, '/': () => $('find').focus(), ':': ask, g: () => { prefix = true },
    ',': () => shell.step(-1), '.': () => shell.step(1), n: () => shell.step(1, true),
    '[': () => history.back(), ']': () => history.forward(), y: () => open('yaml'), d: () => open('history'), '=': () => shell.set({ from: shell.param('from') ? '' : document.documentElement.dataset.rev }, false),
    ' ': at.matches('button, a, summary, [role=slider], [role=listbox]') && at.matches('button, a, summary') ? null : play,
  }[key]
  if (!run) return
  event.preventDefault()
  run()
}

function escape(at) {
  if (at.matches('input, textarea, select')) at.blur()
  else if ($('ask')) $('ask').remove()
  else if (shell.param('sel')) shell.set({ sel: '' })
  else if (shell.revision()) shell.set({ rev: '' })
}

function play() {
  if (shell.revision()) shell.set({ rev: '' })
  else shell.set({ rev: document.documentElement.dataset.rev })
}

function jump(key) {
  const { resource, ns, name } = partsOf(shell.param('sel'))
  const page = { c: 'cluster', l: 'list', n: 'network', m: 'machine', a: 'apply', w: 'why', r: 'rollout' }[key]
  if (!page) return false
  if (page === 'why' || page === 'rollout') {
    if (name && (page === 'why' || resource === 'deployments.apps')) shell.go(page, page === 'why' ? [resource, ns || '-', name] : [ns, name])
    return true
  }
  shell.go(page)
  return true
}

function open(tab) {
  const { resource, ns, name } = partsOf(shell.param('sel'))
  if (name) shell.go('object', [resource, ns || '-', name], { tab })
}

function ask() {
  const input = h('input', { 'aria-label': t('command'), placeholder: t('command.placeholder'), autocomplete: 'off', spellcheck: 'false' })
  const form = h('form', { id: 'ask' }, h('span', { 'aria-hidden': 'true' }, ':'), input)
  let done = false // taking the form away takes the focus away, too, which would take it away again
  const close = () => { if (!done) { done = true; form.remove() } }
  form.addEventListener('submit', event => { event.preventDefault(); close(); shell.command(input.value) })
  input.addEventListener('blur', close)
  document.body.append(form)
  input.focus()
}
