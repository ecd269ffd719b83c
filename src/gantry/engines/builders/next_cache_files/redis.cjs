"use strict";
// The few words of the Redis protocol that the cache needs. Whatever goes wrong is `undefined`, and nobody waits for a server
// that is away: requests of visitors never depend on it.

const net = require("node:net");

const ANSWER_TIMEOUT_MS = 500;
const FIRST_TIMEOUT_MS = 1000;
const INTERVAL_RECONNECT_MS = 1000;
const MAX_PENDING = 1000;

class Redis {
  // url: redis://[user][:password]@host:port/0; connected: runs after each connection, before anything else is asked.
  constructor(url, connected) {
    const at = new URL(url);
    this.address = { host: at.hostname, port: Number(at.port || 6379) };
    this.login = at.password
      ? [["AUTH", ...(at.username ? [decodeURIComponent(at.username)] : []), decodeURIComponent(at.password)]]
      : [];
    this.connected = connected;
    this.isUp = false;
    this.socket = null;
    this.connect();
    this.first = new Promise((resolve) => {
      this.settle = resolve;
      setTimeout(resolve, FIRST_TIMEOUT_MS).unref();
    });
  }

  connect() {
    const socket = net.connect({ ...this.address, noDelay: true });
    socket.unref();
    this.socket = socket;
    this.waiting = [];
    this.chunks = [];
    this.length = 0;
    this.needed = 0;
    const lost = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.isUp = false;
      socket.destroy();
      for (const waiting of this.waiting.splice(0)) waiting.done(undefined);
      this.settle?.();
      setTimeout(() => this.connect(), INTERVAL_RECONNECT_MS).unref();
    };
    this.lose = lost;
    socket.on("error", lost);
    socket.on("close", lost);
    socket.on("data", (data) => {
      try {
        this.read(data);
      } catch {
        lost();
      }
    });
    socket.on("connect", async () => {
      const answers = await this.send([...this.login, ["PING"]]);
      if (answers.at(-1) !== "PONG") return lost();
      await this.connected(this);
      this.isUp = this.socket === socket;
      this.settle?.();
    });
  }

  // One answer for each command; `undefined` for all when the server is away.
  async ask(commands) {
    if (!this.isUp) await this.first;
    if (!this.isUp || this.waiting.length + commands.length > MAX_PENDING) return commands.map(() => undefined);
    return this.send(commands);
  }

  send(commands) {
    const parts = [];
    const answers = commands.map((words) => {
      parts.push(Buffer.from(`*${words.length}\r\n`));
      for (const word of words) {
        const bytes = Buffer.isBuffer(word) ? word : Buffer.from(String(word));
        parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
      }
      return new Promise((resolve) => {
        // A server that hangs is as good as away.
        const timer = setTimeout(this.lose, ANSWER_TIMEOUT_MS);
        timer.unref();
        this.waiting.push({
          done: (answer) => {
            clearTimeout(timer);
            resolve(answer);
          },
        });
      });
    });
    this.socket.write(Buffer.concat(parts));
    return Promise.all(answers);
  }

  read(data) {
    this.chunks.push(data);
    this.length += data.length;
    if (this.length < this.needed) return;
    const all = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
    let at = 0;
    for (;;) {
      const found = this.parse(all, at);
      if (found === null) break;
      at = found[1];
      this.waiting.shift()?.done(found[0]);
    }
    this.needed = Math.max(0, this.needed - at);
    this.chunks = at < all.length ? [all.subarray(at)] : [];
    this.length = all.length - at;
  }

  // [value, where the next begins]; null when more must come, and `needed` says how much when that is known.
  parse(all, at) {
    const end = all.indexOf("\r\n", at);
    if (end < 0) return null;
    const line = all.toString("latin1", at + 1, end);
    const next = end + 2;
    switch (all[at]) {
      case 0x2b: // +
        return [line, next];
      case 0x2d: // - an error: as good as no answer
        return [undefined, next];
      case 0x3a: // :
        return [Number(line), next];
      case 0x24: {
        // $
        const size = Number(line);
        if (size < 0) return [null, next];
        if (all.length < next + size + 2) {
          this.needed = next + size + 2;
          return null;
        }
        return [all.subarray(next, next + size), next + size + 2];
      }
      case 0x2a: {
        // *
        const items = [];
        let place = next;
        for (let left = Number(line); left > 0; left -= 1) {
          const found = this.parse(all, place);
          if (found === null) return null;
          items.push(found[0]);
          place = found[1];
        }
        return [items, place];
      }
      default:
        throw new Error("no Redis");
    }
  }
}

module.exports = { Redis };
