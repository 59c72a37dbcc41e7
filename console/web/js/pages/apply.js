// Apply: an editor whose checks are the API server's own. While somebody types, everything is tried without being kept, and
// what would change is shown; then it is applied.

import { h, $, render, act } from '../dom.js'
import { t } from '../i18n.js'
import { world } from '../model.js'
import { param, revision, address } from '../url.js'
import { ask, query, idOf, rowOf, path } from '../api.js'
import { yaml, diff, folded } from '../yaml.js'
import { toast } from '../main.js'

const examples = {
  deployment: `apiVersion: apps/v1
kind: Deployment
metadata:
  name: hello
spec:
  replicas: 3
  selector:
    matchLabels:
      app: hello
  template:
    metadata:
      labels:
        app: hello
    spec:
      containers:
      - name: web
        image: nginx
        ports:
        - containerPort: 80
        resources:
          requests:
            cpu: 100m
            memory: 64Mi
`,
  service: `apiVersion: v1
kind: Service
metadata:
  name: hello
spec:
  selector:
    app: hello
  ports:
  - port: 80
    targetPort: 80
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: hello
spec:
  rules:
  - host: hello.example.org
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: hello
            port:
              number: 80
`,
  job: `apiVersion: batch/v1
kind: Job
metadata:
  name: once
spec:
  completions: 3
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: work
        image: busybox
        command: [sh, -c, "echo done"]
`,
  pod: `apiVersion: v1
kind: Pod
metadata:
  name: too-big
spec:
  containers:
  - name: web
    image: nginx
    resources:
      requests:
        cpu: "64"
`,
}

let root, text = sessionStorage.getItem('kubette.manifest') || examples.deployment, results = null, problem = '', applied = false, timer = 0, force = false, edited = ''

export function mount(main) {
  root = main
  root.append(h('div', { class: 'pagehead', 'data-key': 'head' }), h('div', { class: 'applying', 'data-key': 'cols' }))
  edited = ''
}
export function unmount() { root = null; clearTimeout(timer) }

export function update(what) {
  const edit = param('edit')
  if (edit && edit !== edited && world.view.rev) { edited = edit; load(edit) }
  if (what.all || what.shell) { draw(); if (!results) tryLater(0) }
}

// load takes an object into the editor, without what only the cluster writes.
async function load(id) {
  const [resource, ns, name] = id.split('/')
  let object = world.view.find(id)
  if (!object && rowOf(resource)) object = await ask(path(resource, ns, name)).catch(() => null)
  if (!object) return
  const { metadata, status, ...rest } = object
  const { creationTimestamp, generation, managedFields, resourceVersion, uid, ownerReferences, generateName, selfLink, ...kept } = metadata
  if (kept.annotations) { kept.annotations = { ...kept.annotations }; for (const name of ['kubectl.kubernetes.io/last-applied-configuration', 'deployment.kubernetes.io/revision']) delete kept.annotations[name]; if (!Object.keys(kept.annotations).length) delete kept.annotations }
  put(yaml({ apiVersion: rowOf(resource).version, kind: rowOf(resource).kind, metadata: kept, ...rest }))
}

function put(manifest) {
  text = manifest
  if ($('manifest')) $('manifest').value = text
  tryLater(0)
}

function tryLater(wait = 350) {
  sessionStorage.setItem('kubette.manifest', text)
  clearTimeout(timer)
  applied = false
  timer = setTimeout(() => send(true), wait)
}

let asked = 0
async function send(dry) {
  const mine = ++asked
  try {
    const got = await ask('/console/apply' + query({ dryRun: dry, force, ns: param('ns') || 'default' }), { method: 'POST', body: text, type: 'application/yaml' })
    if (mine !== asked) return
    results = got
    problem = ''
    applied = !dry
    if (!dry) toast(t(got.every(each => each.code < 400) ? 'done' : 'apply.some'), 'kubectl apply --server-side -f manifest.yaml' + (force ? ' --force-conflicts' : ''))
  } catch (error) { if (mine === asked) { results = []; problem = error.message } }
  if (root) draw()
}

function draw() {
  const off = revision() > 0
  const good = results?.length && results.every(each => each.code < 400)
  render(root.querySelector('.pagehead'), h('h1', {}, t('page.apply')), h('p', { class: 'dim' }, t('apply.about')), off ? h('p', { class: 'problem' }, t('past.off')) : null)
  render(root.querySelector('.applying'),
    h('section', { 'data-key': 'edit', class: 'editor' }, h('div', { class: 'buttons' }, h('span', { class: 'dim' }, t('apply.examples')), Object.keys(examples).map(name => h('button', { class: 'small', 'data-act': 'apply.example', 'data-arg': name }, t('apply.example.' + name)))),
      h('textarea', { id: 'manifest', 'data-input': 'apply.typed', 'aria-label': t('apply.manifest'), spellcheck: 'false', wrap: 'off', value: text }),
      h('div', { class: 'buttons' }, h('button', { class: 'primary', 'data-act': 'apply.now', disabled: off || !results?.length }, t('apply.now')), h('label', { class: 'check' }, h('input', { type: 'checkbox', 'data-change': 'apply.force', checked: force }), t('apply.force')))),
    h('section', { 'data-key': 'result', 'aria-live': 'polite', id: 'result', 'data-good': String(Boolean(good)), 'data-applied': String(applied) }, problem ? h('p', { class: 'card problem' }, problem) : null, (results || []).map(result)))
}

function result(each, i) {
  const change = each.code >= 400 ? 'refused' : !each.before ? 'created' : JSON.stringify(strip(each.before)) === JSON.stringify(strip(each.after)) ? 'unchanged' : 'configured'
  const lines = each.after ? folded(diff(each.before ? yaml(strip(each.before)) : '', yaml(strip(each.after)))) : []
  const sign = { refused: '✕', created: '+', unchanged: '=', configured: '~' }[change]
  return h('article', { class: 'card ' + change, 'data-key': String(i) }, h('p', {}, h('strong', {}, `${sign} ${each.kind || ''} ${each.name || ''}`), ' ', h('span', { class: 'dim' }, t((applied ? 'apply.was.' : 'apply.would.') + change)), applied && each.code < 400 ? [' ', h('a', { href: address('cluster', [], { sel: idOf(each.resource, each.ns, each.name) }) }, t('apply.see'))] : null),
    each.problem ? h('p', { class: 'problem' }, each.problem.message) : null,
    each.problem?.details?.causes?.length > 1 ? h('ul', { class: 'try' }, each.problem.details.causes.map(cause => h('li', {}, h('code', {}, cause.field), ' ', cause.message))) : null,
    each.warnings?.map(warning => h('p', { class: 'warn' }, '⚠ ' + warning)),
    lines.some(Boolean) && change !== 'unchanged' ? h('pre', { class: 'diff' }, lines.map(line => line ? h('span', { class: line[0] === '+' ? 'add' : line[0] === '-' ? 'del' : '' }, line.join('') + '\n') : h('span', { class: 'dim' }, '⋯\n'))) : null)
}

// strip leaves out what changes with every write.
function strip(object) {
  const { status, ...rest } = object
  const { resourceVersion, generation, creationTimestamp, uid, managedFields, ...metadata } = object.metadata
  return { ...rest, metadata }
}

act('apply.example', name => put(examples[name]))
act('apply.typed', (_, element) => { text = element.value; tryLater() })
act('apply.force', (_, element) => { force = element.checked; tryLater(0) })
act('apply.now', () => { clearTimeout(timer); send(false) })
