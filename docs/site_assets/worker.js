/* Browsers refuse workers to pages that are read as files. There, search runs in a hidden frame, which is asked as a
   worker would be. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.appendChild(frame)
      const inside = frame.contentWindow
      inside.IFrameWorker = this.constructor
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      inside.importScripts = () => Promise.reject(new Error("search in this language needs a web server"))
      this.inside = new Promise(resolve => {
        const script = inside.document.createElement("script")
        script.onload = () => resolve(inside)
        script.src = new URL(url, document.baseURI)
        inside.document.head.appendChild(script)
      })
    }
    postMessage(data) {
      this.inside.then(inside => inside.dispatchEvent(new MessageEvent("message", { data })))
    }
    terminate() {}
  }
}
