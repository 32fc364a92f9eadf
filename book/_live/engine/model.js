// A shipped model, as a page uses it: its weights and the worker come when the first step is asked for.
import source from "worker:./worker.js";

const {src} = document.currentScript; // of the view
// The scripts of two views do not know of each other.
const models = (window.liveModels ??= {});

/** The model of that name; all views of a page share it. */
export function model(name) {
  return (models[name] ??= new Model(name));
}

class Model {
  constructor(name) {
    this.name = name;
    this.asked = this.digits = 0;
    this.waiting = new Map();
  }

  /** A digit with these settings, which see worker.js; each call of what comes back gives its next
   * step, {t, alpha_bar, x_t, x0_hat, milliseconds}. */
  begin(settings) {
    const begin = `digit ${++this.digits}`;
    this.worker ??= this.load().catch((error) => {
      this.worker = undefined; // the next digit may try again
      throw error;
    });
    const begun = this.worker.then((worker) => {
      worker.postMessage({begin, settings});
      return worker;
    });
    return async () => {
      const worker = await begun;
      const asked = ++this.asked;
      return new Promise((found, failed) => {
        this.waiting.set(asked, {found, failed});
        worker.postMessage({next: begin, asked});
      });
    };
  }

  async load() {
    const weights = await weightsOf(this.name);
    // From an address of its own making, since a page that lies on a disk may load no worker.
    const address = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
    const worker = new Worker(address);
    return new Promise((ready, failed) => {
      worker.onmessage = ({data}) => {
        if (data.ready) ready(worker);
        else if (data.failed) {
          failed(new Error(data.failed));
          this.waiting.forEach((digit) => digit.failed(new Error(data.failed)));
        } else this.waiting.get(data.asked).found(data);
        this.waiting.delete(data.asked);
      };
      worker.onerror = ({message}) => failed(new Error(message));
      worker.postMessage({weights});
    });
  }
}

// A script, since a page that lies on a disk may read no file. book/_ext/live_weights.py writes it.
function weightsOf(name) {
  return new Promise((found, failed) => {
    const script = document.createElement("script");
    script.src = new URL(`weights/${name}.js`, src).href;
    script.onload = () => {
      found(window.liveWeights[name]);
      delete window.liveWeights[name];
      script.remove();
    };
    script.onerror = () => failed(new Error(`the weights of ${name} could not be loaded`));
    document.head.append(script);
  });
}
