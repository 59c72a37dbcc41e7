// Starts the console. A browser gives up requests under way when the machine's networks change, as they do when a cluster
// starts on Docker, and a module that failed to load stays failed: then the page begins again, a few times.
const page = /^#\/(\w+)/.exec(location.hash)?.[1] || 'cluster'
const early = document.createElement('link') // the page's own module is fetched with the others, not after them
early.rel = 'modulepreload'
early.href = `/js/pages/${page}.js`
document.head.append(early)
import('/js/main.js').then(() => sessionStorage.removeItem('kubette.again'), error => {
  const again = Number(sessionStorage.getItem('kubette.again')) || 0
  sessionStorage.setItem('kubette.again', again + 1)
  if (again < 5) setTimeout(() => location.reload(), 300 * (again + 1))
  else document.body.append(String(error))
})
