// The legend: what symbols mean, keys, and the words of Kubernetes in a sentence each.

import { h, render } from '../dom.js'
import { t } from '../i18n.js'
import { glyphs, badge } from '../status.js'
import { keys } from '../keys.js'

const words = ['pod', 'node', 'deployment', 'replicaset', 'service', 'endpointslice', 'ingress', 'namespace', 'configmap', 'scheduler', 'kubelet', 'controller', 'apiserver', 'revision', 'label', 'probe']

export function mount(main) { main.append(h('div', { 'data-key': 'body' })) }
export function update(what) {
  if (!what.all && !what.shell) return
  render(document.querySelector('#main > div'), h('div', { class: 'pagehead' }, h('h1', {}, t('page.legend'))), h('div', { class: 'columns' },
    h('section', { class: 'card' }, h('h2', {}, t('legend.states')), h('dl', { class: 'keys' }, Object.keys(glyphs).map(state => [h('dt', { class: 'map', 'data-density': 'tiles' }, h('div', { class: 'pod ' + state }, glyphs[state])), h('dd', {}, h('strong', {}, t('state.' + state)), h('br', {}), h('span', { class: 'dim' }, t('legend.state.' + state)))]))),
    h('section', { class: 'card' }, h('h2', {}, t('legend.timeline')), h('dl', { class: 'keys' }, [['■', 'created', 'ready'], ['▏', 'changed', 'succeeded'], ['✕', 'deleted', 'failed'], ['↷', 'cause', 'running']].map(([sign, name, colour]) => [h('dt', { class: 'glyph ' + colour }, sign), h('dd', {}, t('legend.' + name))])),
      h('h2', {}, t('keys')), h('dl', { class: 'keys' }, keys().map(([key, text]) => [h('dt', {}, key.split(' ').map(one => h('kbd', {}, one))), h('dd', {}, text)]))),
    h('section', { class: 'card' }, h('h2', {}, t('legend.words')), h('dl', { class: 'words' }, words.map(word => [h('dt', {}, t('word.' + word)), h('dd', {}, t('words.' + word))])))))
}
