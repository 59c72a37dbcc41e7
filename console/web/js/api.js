// Asking the server: Kubernetes' API, kubette's own under /kubette/, and the console's under /console/.

// rows are the resources that the console follows: where each is in the API, and what kubectl calls it.
export const rows = [
  ['pods', 'v1', 'Pod', 'po', true], ['nodes', 'v1', 'Node', 'no', false], ['namespaces', 'v1', 'Namespace', 'ns', false],
  ['services', 'v1', 'Service', 'svc', true], ['configmaps', 'v1', 'ConfigMap', 'cm', true],
  ['persistentvolumeclaims', 'v1', 'PersistentVolumeClaim', 'pvc', true], ['persistentvolumes', 'v1', 'PersistentVolume', 'pv', false],
  ['deployments.apps', 'apps/v1', 'Deployment', 'deploy', true], ['replicasets.apps', 'apps/v1', 'ReplicaSet', 'rs', true],
  ['statefulsets.apps', 'apps/v1', 'StatefulSet', 'sts', true], ['daemonsets.apps', 'apps/v1', 'DaemonSet', 'ds', true],
  ['jobs.batch', 'batch/v1', 'Job', 'job', true], ['cronjobs.batch', 'batch/v1', 'CronJob', 'cj', true],
  ['ingresses.networking.k8s.io', 'networking.k8s.io/v1', 'Ingress', 'ing', true],
  ['endpointslices.discovery.k8s.io', 'discovery.k8s.io/v1', 'EndpointSlice', 'eps', true],
].map(([resource, version, kind, short, namespaced]) => ({ resource, version, kind, short, namespaced, plural: resource.split('.')[0] }))

// others are in lists, and are read when somebody looks.
export const others = [
  ['events', 'v1', 'Event', 'ev', true], ['secrets', 'v1', 'Secret', 'secret', true], ['serviceaccounts', 'v1', 'ServiceAccount', 'sa', true],
  ['resourcequotas', 'v1', 'ResourceQuota', 'quota', true], ['limitranges', 'v1', 'LimitRange', 'limits', true],
  ['horizontalpodautoscalers.autoscaling', 'autoscaling/v2', 'HorizontalPodAutoscaler', 'hpa', true],
  ['poddisruptionbudgets.policy', 'policy/v1', 'PodDisruptionBudget', 'pdb', true],
  ['networkpolicies.networking.k8s.io', 'networking.k8s.io/v1', 'NetworkPolicy', 'netpol', true],
  ['roles.rbac.authorization.k8s.io', 'rbac.authorization.k8s.io/v1', 'Role', 'role', true],
  ['rolebindings.rbac.authorization.k8s.io', 'rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebinding', true],
  ['storageclasses.storage.k8s.io', 'storage.k8s.io/v1', 'StorageClass', 'sc', false],
].map(([resource, version, kind, short, namespaced]) => ({ resource, version, kind, short, namespaced, plural: resource.split('.')[0] }))

const byResource = new Map([...rows, ...others].map(row => [row.resource, row]))
const byKind = new Map([...rows, ...others].map(row => [row.kind, row]))
export const rowOf = resource => byResource.get(resource)
export const rowOfKind = kind => byKind.get(kind)
export const watched = rows.map(row => row.resource)

// rowOfWord finds a resource by what a user calls it: po, pod, pods, deployments.apps.
export function rowOfWord(word) {
  word = word.toLowerCase()
  return [...byResource.values()].find(row => [row.short, row.plural, row.resource, row.kind.toLowerCase()].includes(word))
}

export const idOf = (resource, ns, name) => resource + '/' + (ns || '') + '/' + name
export function partsOf(id) {
  const [resource, ns, name] = id.split('/')
  return { resource, ns, name }
}

// path is where objects are in the API.
export function path(resource, ns, name, sub) {
  const row = rowOf(resource)
  let at = (row.version.includes('/') ? '/apis/' : '/api/') + row.version
  if (row.namespaced && ns) at += '/namespaces/' + encodeURIComponent(ns)
  at += '/' + row.plural
  if (name) at += '/' + encodeURIComponent(name)
  return sub ? at + '/' + sub : at
}

// kubectl is the command that does the same.
export function kubectl(verb, resource, ns, name, rest) {
  const row = rowOf(resource)
  const what = row ? row.kind.toLowerCase() : resource
  return ['kubectl', verb, what + (name ? '/' + name : ''), ns && ns !== 'default' ? '-n ' + ns : '', rest].filter(Boolean).join(' ')
}

export class Refused extends Error {
  constructor(code, message, body) { super(message); this.code = code; this.body = body }
}

// ask sends a request and returns what the answer holds: JSON as data, everything else as text.
export async function ask(target, { method = 'GET', body, type = 'application/json', accept = 'application/json', signal } = {}) {
  const headers = { Accept: accept }
  if (body !== undefined) headers['Content-Type'] = type
  const response = await fetch(target, { method, headers, body, signal, cache: 'no-store' })
  const text = await response.text()
  const json = (response.headers.get('Content-Type') || '').includes('json')
  const data = json && text ? JSON.parse(text) : text
  if (!response.ok) throw new Refused(response.status, (json && data.message) || text.trim() || response.statusText, data)
  return data
}

export const post = (target, value) => ask(target, { method: 'POST', body: value === undefined ? '' : JSON.stringify(value) })

// at is the part of a query that reads a list as it was at a revision.
export const at = rev => rev ? { resourceVersion: rev, resourceVersionMatch: 'Exact' } : {}
export const query = values => '?' + new URLSearchParams(values)
