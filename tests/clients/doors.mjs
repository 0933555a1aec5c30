// What the clients' tests share: the simulator's own door, and a listener for webhooks.
import { createServer } from "node:http";
import { once } from "node:events";

// Long enough for two busy cores; reached only when a test fails.
const PATIENCE_MS = 60_000;

export async function call(method, url, body, headers = {}) {
  const text = body === undefined || typeof body === "string" || body instanceof FormData ? body : JSON.stringify(body);
  const json = text === undefined || text === body ? {} : { "content-type": "application/json" };
  const answer = await fetch(url, { method, body: text, headers: { ...json, ...headers }, signal: AbortSignal.timeout(PATIENCE_MS) });
  const said = await answer.text();
  try {
    return [answer.status, JSON.parse(said)];
  } catch {
    return [answer.status, said];
  }
}

export class Simulator {
  constructor(base) {
    this.base = base;
  }

  async do(method, path, body) {
    const [status, said] = await call(method, `${this.base}/sim/${path}`, body);
    if (status >= 300) throw new Error(`${method} /sim/${path}: ${status} ${JSON.stringify(said)}`);
    return said;
  }

  write(number, what) {
    return this.do("POST", `phones/${number}/write`, what);
  }

  tap(number, button) {
    return this.do("POST", `phones/${number}/tap`, { button });
  }

  // Contents of what was sent to the phone, oldest first.
  async shown(number, channel = "whatsapp") {
    const thread = await this.do("GET", `phones/${number}/thread`);
    return thread[channel].filter((entry) => !entry.from_phone).map((entry) => entry.content);
  }
}

// Takes requests on a port of its own; `answer` gets each of them and gives status and text.
export async function listen(answer) {
  const server = createServer(async (request, response) => {
    const [status, text] = await answer(request);
    response.writeHead(status);
    response.end(text);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

// Hands over in order what is put in.
export class Queue {
  #things = [];
  #waiting = [];

  put(thing) {
    const first = this.#waiting.shift();
    if (first) first(thing);
    else this.#things.push(thing);
  }

  next() {
    if (this.#things.length > 0) return Promise.resolve(this.#things.shift());
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("nothing came")), PATIENCE_MS);
      this.#waiting.push((thing) => {
        clearTimeout(late);
        resolve(thing);
      });
    });
  }
}
