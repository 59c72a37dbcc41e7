// English and French. A text holds {name} for an argument, and {n:one|many} for a word that goes with a number.

const all = {}
let language = localStorage.getItem('kubette.language') || (navigator.language.startsWith('fr') ? 'fr' : 'en')
let rules = new Intl.PluralRules(language)
await load()

// load reads the texts of the language, when they are needed.
async function load() {
  all[language] ||= (await import(`./lang/${language}.js`)).default
  document.documentElement.lang = language
}

export const lang = () => language

export function setLanguage(to) {
  language = to
  rules = new Intl.PluralRules(to)
  localStorage.setItem('kubette.language', to)
  return load()
}

export const fill = (text, values = {}) => text.replace(/\{(\w+)(?::([^|}]*)\|([^}]*))?\}/g, (_, name, one, many) => {
  const value = values[name]
  if (one !== undefined) return rules.select(Number(value) || 0) === 'one' ? one : many
  return Array.isArray(value) ? value.join(', ') : value === null ? '–' : String(value ?? '?') // an empty list of Go's is null
})

export const t = (key, values) => fill(all[language][key] ?? key, values)
export const known = key => key in all[language]

// number writes a number that is read at a glance: with one decimal where it is small.
export const number = value => value > 0 && value < 0.05 ? '<\u202f' + form(1, 0.1) : form(value < 10 ? 1 : 0, value)
const form = (digits, value) => formatter('n' + digits, () => new Intl.NumberFormat(language, { maximumFractionDigits: digits })).format(value)

// formatter keeps what is dear to make.
const formatters = {}
const formatter = (name, make) => formatters[language + name] ||= make()

// ago says how long it is since a moment, as kubectl does.
export function age(time, now = Date.now()) {
  const s = Math.max(0, Math.round((now - new Date(time)) / 1000))
  if (s < 120) return s + 's'
  if (s < 600) return Math.floor(s / 60) + 'm' + (s % 60 ? s % 60 + 's' : '')
  if (s < 3 * 3600) return Math.floor(s / 60) + 'm'
  if (s < 48 * 3600) return Math.floor(s / 3600) + 'h'
  return Math.floor(s / 86400) + (language === 'fr' ? 'j' : 'd')
}

export const clock = time => formatter('clock', () => new Intl.DateTimeFormat(language, { hourCycle: 'h23', hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 })).format(new Date(time))
